"""Wrong inputs to layers and functions: the exception says what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import nn

F = nn.functional

CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: nn.Conv2d(3, 4, 3)(lt.zeros(1, 2, 8, 8)),
        lt.ShapeError,
        "conv2d: input has 2 channels, weight expects 3",
    ),
    (
        lambda: nn.Conv2d(3, 4, 3)(lt.zeros(8, 8)),
        lt.ShapeError,
        r"4 axes \[N, C, H, W\] or 3 axes \[C, H, W\], got shape \[8, 8\]",
    ),
    (
        lambda: nn.Conv2d(1, 1, 5)(lt.zeros(1, 1, 4, 4)),
        lt.ShapeError,
        "kernel 5x5 .* does not fit the padded input 4x4",
    ),
    (
        lambda: nn.Conv1d(1, 1, 5)(lt.zeros(1, 1, 4)),
        lt.ShapeError,
        "conv1d: kernel 5 .* does not fit the padded input of length 4",
    ),
    (
        lambda: nn.Conv1d(2, 1, 1)(lt.zeros(1, 3, 4)),
        lt.ShapeError,
        "conv1d: input has 3 channels, weight expects 2",
    ),
    (lambda: nn.Conv2d(1, 1, 1)(lt.zeros(1, 1, 2, 2, dtype=lt.float64)), TypeError, "conv2d: .*float"),
    (
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        ValueError,
        "Conv2d: in_channels must be divisible by groups, got 3 and 2",
    ),
    (lambda: nn.Conv2d(3, 4, 0), ValueError, "kernel_size must be 1 or more"),
    (lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, "padding must be 0 or more"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), TypeError, "kernel_size must be an int or 2 ints"),
    (lambda: nn.Conv2d(3, 4, 3, padding="full"), ValueError, "padding must be 'valid', 'same'"),
    (lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2), ValueError, "not supported for strided"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError, "padding_mode must be one of"),
    (lambda: nn.Conv2d(0, 4, 3), ValueError, "in_channels must be 1 or more, got 0"),
    (lambda: nn.Conv2d("3", 4, 3), TypeError, "in_channels must be an int, got str"),
    (lambda: F.conv2d(lt.zeros(1, 1, 3, 3), lt.zeros(1, 1, 3)), lt.ShapeError, "expected a weight of 4 axes"),
    (lambda: F.conv2d(lt.zeros(1, 1, 3, 3), lt.zeros(1, 1, 1, 1), groups=0), ValueError, "groups must be"),
    (
        lambda: F.conv_transpose2d(lt.zeros(1, 1, 3, 3), lt.zeros(1, 1, 3, 3), output_padding=1),
        ValueError,
        "output padding must be smaller than either stride or dilation",
    ),
    (
        lambda: F.conv_transpose2d(lt.zeros(1, 1, 1, 1), lt.zeros(1, 1, 1, 1), padding=2),
        lt.ShapeError,
        "use less padding",
    ),
    (
        lambda: nn.ConvTranspose2d(2, 1, 1)(lt.zeros(1, 3, 2, 2)),
        lt.ShapeError,
        "conv_transpose2d: input has 3 channels, weight expects 2",
    ),
    (lambda: nn.ConvTranspose2d(2, 1, 1, padding_mode="reflect"), ValueError, 'only "zeros"'),
    (
        lambda: nn.Linear(3, 2)(lt.zeros(4, 5)),
        lt.ShapeError,
        r"linear: input \[4, 5\] does not fit weight \[2, 3\]",
    ),
    (lambda: nn.Linear(-1, 2), ValueError, "in_features must be 0 or more, got -1"),
    (lambda: nn.Linear(2.0, 2), TypeError, "in_features must be an int, got float"),
    (lambda: nn.MaxPool2d(3)(lt.zeros(1, 1, 2, 2)), lt.ShapeError, "does not fit the input 2x2"),
    (lambda: nn.MaxPool2d(2, padding=2)(lt.zeros(1, 1, 4, 4)), ValueError, "at most half of the kernel size"),
    (lambda: nn.MaxPool2d(0)(lt.zeros(1, 1, 4, 4)), ValueError, "kernel_size must be 1 or more"),
    (lambda: nn.MaxPool2d(2)(lt.zeros(4, 4)), lt.ShapeError, "max_pool2d: expected an input of 4 axes"),
    (
        lambda: nn.AvgPool2d(2, divisor_override=0)(lt.zeros(1, 2, 2)),
        ValueError,
        "divisor_override must not be zero",
    ),
    (
        lambda: nn.AdaptiveAvgPool2d((2, 2, 2))(lt.zeros(1, 2, 2)),
        TypeError,
        "output_size must be an int or 2 ints",
    ),
    (lambda: nn.AdaptiveAvgPool2d(-1)(lt.zeros(1, 2, 2)), ValueError, "must not be negative"),
    (
        lambda: nn.MaxUnpool2d(2)(lt.zeros(1, 1, 2), lt.zeros(1, 1, 1, dtype=lt.int64)),
        lt.ShapeError,
        "indices have shape",
    ),
    (lambda: nn.BatchNorm2d(3)(lt.zeros(2, 3)), lt.ShapeError, r"BatchNorm2d: expected 4D input \(got 2D"),
    (
        lambda: nn.BatchNorm1d(3)(lt.zeros(1, 3)),
        ValueError,
        "Expected more than 1 value per channel when training",
    ),
    (lambda: nn.BatchNorm1d(3)(lt.zeros(2, 4)), lt.ShapeError, r"batch_norm: .*\[3\]"),
    (
        lambda: nn.LayerNorm((3, 4))(lt.zeros(2, 4)),
        lt.ShapeError,
        r"expected an input of shape \[\*, 3, 4\], but got \[2, 4\]",
    ),
    (lambda: nn.GroupNorm(2, 3), ValueError, "num_channels must be divisible by num_groups"),
    (lambda: nn.InstanceNorm2d(3)(lt.zeros(1, 3, 1, 1)), ValueError, "more than 1 spatial element"),
    (lambda: nn.LocalResponseNorm(3)(lt.zeros(2, 2)), lt.ShapeError, "Expected 3D or higher"),
    (lambda: nn.Embedding(3, 2)(lt.tensor([0, 3])), IndexError, "3"),
    (
        lambda: nn.Embedding(3, 2)(lt.tensor([0.0])),
        TypeError,
        "indices must be int64 or int32, got lectorium.float32",
    ),
    (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx must be within"),
    (lambda: nn.Flatten(2, 1)(lt.zeros(2, 2, 2)), lt.ShapeError, "start_dim must not come after end_dim"),
    (lambda: nn.Flatten(3)(lt.zeros(2, 2)), IndexError, "flatten: axis 3 is out of range for 2 axes"),
    (
        lambda: nn.Unflatten(1, (2, 3))(lt.zeros(2, 5)),
        lt.ShapeError,
        r"sizes \[2, 3\] do not multiply to axis 1 of size 5",
    ),
    (lambda: F.pad(lt.zeros(2, 2), (1, 1, 1)), lt.ShapeError, "two numbers an axis"),
    (
        lambda: F.pad(lt.zeros(1, 2, 2), (2, 0), "reflect"),
        lt.ShapeError,
        "reflect padding must be smaller than the axis",
    ),
    (lambda: F.pad(lt.zeros(2), (1, 1), "mirror"), ValueError, "mode must be"),
    (lambda: nn.ReflectionPad2d((1, 2, 3)), ValueError, "an int or 4 ints"),
    (lambda: nn.ReflectionPad2d(1)(lt.zeros(3, 3)), lt.ShapeError, "expected an input of 3 or 4 axes"),
    (lambda: F.gelu(lt.zeros(1), "fast"), ValueError, "either none or tanh"),
    (lambda: F.glu(lt.zeros(3)), lt.ShapeError, "even size, but axis 0 has size 3"),
    (
        lambda: nn.PReLU(3)(lt.zeros(2, 4)),
        lt.ShapeError,
        r"prelu: weight has shape \[3\], expected \[1\] or \[4\]",
    ),
    (lambda: F.softmax(lt.zeros(2), dim=3), IndexError, "softmax"),
    (lambda: F.relu([1.0]), TypeError, "relu: expected a Tensor, got list"),
    (lambda: lt.add(lt.ones(1), None), TypeError, "add: expected a Tensor or a number, got NoneType"),
    (lambda: lt.ones(1).add_("a"), TypeError, "add_: expected a Tensor or a number, got str"),
    (lambda: lt.topk([1.0], 1), TypeError, "topk: expected a Tensor, got list"),
    (lambda: lt.stack([lt.ones(1), 2.0]), TypeError, "stack: tensor 1 must be a Tensor, got float"),
    (lambda: lt.cat(None), TypeError, "cat: expected a list of tensors, got NoneType"),
    (lambda: lt.hstack([]), ValueError, "hstack: expected at least one tensor, got an empty list"),
    (lambda: lt.squeeze([1.0]), TypeError, "squeeze: expected a Tensor, got list"),
    (
        lambda: lt.transpose(np.ones((2, 3)), 0, 1),
        TypeError,
        r"transpose: expected a Tensor, got ndarray; convert it with lectorium.from_numpy\(array\)",
    ),
    (lambda: lt.cat([lt.ones(1), 1]), TypeError, "^cat: tensor 1 must be a Tensor, got int"),
    (lambda: F.interpolate(lt.zeros(1, 1, 2)), ValueError, "one of size and scale_factor"),
    (lambda: F.interpolate(lt.zeros(1, 1, 2), 4, mode="cubic"), ValueError, "mode must be one of"),
    (lambda: F.unfold(lt.zeros(1, 1, 2, 2), 3), lt.ShapeError, "unfold: kernel 3x3 .* does not fit"),
    (lambda: F.fold(lt.zeros(1, 3, 1), 2, 2), lt.ShapeError, "fold: expected an input"),
    (lambda: nn.PixelShuffle(2)(lt.zeros(1, 3, 2, 2)), lt.ShapeError, "pixel_shuffle: expected"),
    (lambda: F.one_hot(lt.tensor([3]), 2), IndexError, "3"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_a_wrong_input_is_named(case: int) -> None:
    call, kind, text = CASES[case]
    with pytest.raises(kind, match=text):
        call()


def test_zero_size_batches_pass_through_a_network_and_back() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3), nn.LogSoftmax(1)
    )
    y = net(lt.zeros(0, 1, 4, 4))
    assert y.shape == (0, 3)
    y.sum().backward()
    assert bool((net[0].weight.grad == 0).all())
    assert net[4].bias.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "name",
    ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "glu"],
)
def test_an_array_is_no_tensor_and_the_error_says_how_to_make_one(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}: input must be a Tensor, got ndarray; convert it with"):
        getattr(F, name)(np.ones((2, 3, 4), np.float32))
    with pytest.raises(TypeError, match=f"{name}: input must be a Tensor, got list"):
        getattr(F, name)([1.0])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (F.softmax, "softmax"),
        (lambda x: F.log_softmax(x, 0), "log_softmax"),
        (lambda x: F.prelu(x, lt.ones(1)), "prelu"),
        (lambda x: F.pixel_shuffle(x, 2), "pixel_shuffle"),
        (lambda x: F.pixel_unshuffle(x, 2), "pixel_unshuffle"),
        (lambda x: F.channel_shuffle(x, 2), "channel_shuffle"),
        (lambda x: lt.split(x, 1), "split"),
        (lambda x: lt.chunk(x, 1), "chunk"),
        (lambda x: lt.select(x, 0, 0), "select"),
        (lt.unbind, "unbind"),
        (lt.flatten, "flatten"),
        (lambda x: lt.unflatten(x, 0, (1, 1)), "unflatten"),
        (lambda x: lt.movedim(x, 0, 0), "movedim"),
        (lt.t, "t"),
        (lt.diag, "diag"),
        (lt.zeros_like, "zeros_like"),
        (lt.randn_like, "randn_like"),
        (nn.init.xavier_uniform_, "xavier_uniform_"),
        (nn.init.kaiming_normal_, "kaiming_normal_"),
        (nn.init.orthogonal_, "orthogonal_"),
        (nn.init.dirac_, "dirac_"),
    ],
)
def test_functions_made_of_operations_take_tensors_only(call: Callable[[Any], Any], name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: input must be a Tensor, got list$"):
        call([1.0])
    with pytest.raises(TypeError, match=rf"^{name}: input must be a Tensor, got ndarray; convert it with"):
        call(np.ones((1, 4, 2, 2), np.float32))


def test_comparisons_and_products_of_no_tensors_name_the_operation() -> None:
    x: Any = np.ones(2, np.float32)
    for op in (lt.allclose, lt.equal):
        with pytest.raises(TypeError, match=rf"{op.__name__}: other must be a Tensor, got ndarray"):
            op(lt.ones(2), x)
    with pytest.raises(TypeError, match="dot: input must be a Tensor, got ndarray"):
        lt.dot(lt.ones(2), x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: lt.split(x, 1), "split: a tensor without axes cannot be cut"),
        (lambda x: lt.chunk(x, 2), "chunk: a tensor without axes cannot be cut"),
        (lambda x: lt.unflatten(x, 0, (1,)), "unflatten: a tensor without axes has none"),
        (lambda x: F.embedding(lt.tensor([0]), x), r"embedding: weight must be \[V, D\]"),
        (
            F.ctc_greedy_decode,
            r"ctc_greedy_decode: log_probs has shape \[\], expected \[T, N, C\]",
        ),
    ],
)
def test_a_tensor_without_axes_is_a_shape_error(call: Any, words: str) -> None:
    with pytest.raises(lt.ShapeError, match=words):
        call(lt.tensor(1.0))
