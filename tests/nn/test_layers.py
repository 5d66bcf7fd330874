"""Every layer against PyTorch's with the same weights: outputs, gradients, state_dict keys, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample

torch = pytest.importorskip("torch", reason="parity needs torch")

IMAGE, SEQUENCE, ROWS = (2, 4, 7, 6), (2, 4, 9), (5, 4)

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[tuple[int, ...], ...]]] = [
    ("Linear", (4, 3), {}, (ROWS,)),
    ("Linear", (9, 3), {"bias": False}, (SEQUENCE,)),
    ("Bilinear", (4, 4, 3), {}, (ROWS, ROWS)),
    ("Conv1d", (4, 6, 3), {"padding": "same", "groups": 2}, (SEQUENCE,)),
    ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "circular"}, (SEQUENCE,)),
    ("Conv2d", (4, 6, 3), {"stride": 2, "padding": 1}, (IMAGE,)),
    ("Conv2d", (4, 6, 3), {}, (IMAGE[1:],)),
    ("Conv2d", (4, 6, (3, 2)), {"padding": (2, 1), "padding_mode": "reflect"}, (IMAGE,)),
    ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "replicate"}, (IMAGE[1:],)),
    ("Conv2d", (4, 6, 4), {"padding": "same", "padding_mode": "circular"}, (IMAGE,)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (SEQUENCE,)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "groups": 2}, (IMAGE,)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (SEQUENCE,)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (IMAGE,)),
    ("AvgPool1d", (3,), {"padding": 1, "count_include_pad": False}, (SEQUENCE,)),
    ("AvgPool2d", (3,), {"stride": 2, "divisor_override": 4}, (IMAGE,)),
    ("AdaptiveAvgPool1d", (4,), {}, (SEQUENCE,)),
    ("AdaptiveAvgPool2d", ((3, None),), {}, (IMAGE,)),
    ("AdaptiveMaxPool1d", (4,), {}, (SEQUENCE,)),
    ("AdaptiveMaxPool2d", (3,), {}, (IMAGE,)),
    ("BatchNorm1d", (4,), {}, (ROWS,)),
    ("BatchNorm1d", (4,), {"momentum": None}, (SEQUENCE,)),
    ("BatchNorm2d", (4,), {"momentum": 0.3, "eps": 1e-3}, (IMAGE,)),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, (IMAGE,)),
    ("BatchNorm3d", (4,), {"affine": False}, ((2, 4, 3, 2, 2),)),
    ("InstanceNorm1d", (4,), {"affine": True}, (SEQUENCE,)),
    ("InstanceNorm2d", (4,), {"track_running_stats": True, "affine": True}, (IMAGE,)),
    ("InstanceNorm2d", (4,), {}, (IMAGE[1:],)),
    ("LayerNorm", ((7, 6),), {}, (IMAGE,)),
    ("LayerNorm", (4,), {"bias": False}, (ROWS,)),
    ("RMSNorm", (4,), {}, (ROWS,)),
    ("GroupNorm", (2, 4), {}, (IMAGE,)),
    ("LocalResponseNorm", (3,), {"alpha": 0.2}, (IMAGE,)),
    ("PReLU", (4,), {}, (IMAGE,)),
    ("GLU", (1,), {}, (IMAGE,)),
    ("GELU", ("tanh",), {}, (ROWS,)),
    ("LeakyReLU", (0.2,), {}, (ROWS,)),
    ("ELU", (0.7,), {}, (ROWS,)),
    ("Softplus", (2.0, 3.0), {}, (ROWS,)),
    ("Hardtanh", (-0.3, 0.4), {}, (ROWS,)),
    ("Threshold", (0.1, 2.0), {}, (ROWS,)),
    ("Softmax", (1,), {}, (ROWS,)),
    ("LogSoftmax", (1,), {}, (ROWS,)),
    ("Softmin", (0,), {}, (ROWS,)),
    ("Softmax2d", (), {}, (IMAGE,)),
    *(
        (n, (), {}, (ROWS,))
        for n in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Sigmoid", "Tanh")
    ),
    *((n, (), {}, (ROWS,)) for n in ("LogSigmoid", "Softsign", "Tanhshrink", "Softshrink", "Hardshrink")),
    ("Flatten", (1, 2), {}, (IMAGE,)),
    ("Unflatten", (1, (2, -1)), {}, (IMAGE,)),
    ("ConstantPad1d", ((1, 2), 0.5), {}, (SEQUENCE,)),
    ("ConstantPad2d", (1, -0.5), {}, (IMAGE,)),
    ("ZeroPad2d", ((1, 0, 2, -1),), {}, (IMAGE,)),
    ("ReflectionPad1d", (2,), {}, (SEQUENCE,)),
    ("ReflectionPad2d", ((1, 2, 0, 1),), {}, (IMAGE,)),
    ("ReplicationPad2d", (2,), {}, (IMAGE,)),
    ("ReplicationPad3d", (1,), {}, ((1, 2, 3, 2, 2),)),
    ("CircularPad1d", ((2, 1),), {}, (SEQUENCE,)),
    ("CircularPad2d", (2,), {}, (IMAGE,)),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, (IMAGE,)),
    ("UpsamplingBilinear2d", ((5, 9),), {}, (IMAGE,)),
    ("Unfold", (2,), {"stride": 2}, (IMAGE,)),
    ("PixelShuffle", (2,), {}, (IMAGE,)),
    ("CosineSimilarity", (), {}, (ROWS, ROWS)),
    ("PairwiseDistance", (), {}, (ROWS, ROWS)),
    ("Identity", (), {}, (ROWS,)),
]


def pair_of(name: str, args: Any, options: Any, dtype: str) -> tuple[Any, Any]:
    """Our layer and PyTorch's, with our random weights in both."""
    lt.manual_seed(1)
    ours = getattr(lt.nn, name)(*args, **options).to(getattr(lt, dtype))
    theirs = getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype))
    for p in ours.parameters():
        lt.nn.init.uniform_(p, -1, 1)
    state = {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    return ours, theirs


def close(ours: Any, theirs: Any, dtype: str) -> None:
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "args", "options", "shapes"), LAYERS)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_layer_computes_what_torch_computes(
    name: str, args: Any, options: Any, shapes: Any, dtype: str
) -> None:
    ours, theirs = pair_of(name, args, options, dtype)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        arrays = [sample(s, dtype, seed=i) for i, s in enumerate(shapes)]
        xs = [lt.from_numpy(a).requires_grad_() for a in arrays]
        ys = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
        got, want = ours(*xs), theirs(*ys)
        assert got.shape == tuple(want.shape)
        close(got, want, dtype)
        ours.zero_grad()
        theirs.zero_grad()
        weights = sample(tuple(want.shape), dtype, seed=9)
        got.backward(lt.from_numpy(weights))
        want.backward(torch.from_numpy(weights))
        for x, y in zip(xs, ys, strict=True):
            close(x.grad, y.grad, dtype)
        for (key, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert key == other
            close(p.grad, q.grad, dtype)
        mine, state = ours.state_dict(), theirs.state_dict()
        assert list(mine) == list(state)
        for key, value in state.items():
            assert tuple(mine[key].shape) == tuple(value.shape)
            assert str(mine[key].dtype).rpartition(".")[2] == str(value.dtype).rpartition(".")[2]
            close(mine[key], value, dtype)


@pytest.mark.parametrize(
    ("name", "args"),
    [("Linear", (30, 40)), ("Conv2d", (4, 8, 3)), ("Conv1d", (4, 8, 3)), ("ConvTranspose2d", (8, 4, 3)),
     ("Bilinear", (6, 5, 40)), ("Embedding", (50, 20))],
)  # fmt: skip
def test_fresh_weights_are_spread_as_those_of_torch(name: str, args: tuple[int, ...]) -> None:
    lt.manual_seed(3)
    torch.manual_seed(3)
    ours, theirs = getattr(lt.nn, name)(*args), getattr(torch.nn, name)(*args)
    for (key, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        mine, other = p.detach().numpy(), q.detach().numpy()
        assert np.abs(mine).max() == pytest.approx(np.abs(other).max(), rel=0.4), key
        if mine.size > 100:
            assert mine.std() == pytest.approx(other.std(), rel=0.15), key


def test_max_pool_gives_indices_that_max_unpool_takes() -> None:
    a = sample((2, 3, 6, 6), "float64")
    y, where = lt.nn.MaxPool2d(2, return_indices=True)(lt.from_numpy(a))
    ty, there = torch.nn.MaxPool2d(2, return_indices=True)(torch.from_numpy(a))
    assert where.tolist() == there.tolist()
    assert lt.nn.MaxUnpool2d(2)(y, where).tolist() == torch.nn.MaxUnpool2d(2)(ty, there).tolist()


def test_conv_transpose_reaches_the_output_size_asked_for() -> None:
    layer = lt.nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    assert layer(lt.randn(1, 2, 5, 5), output_size=(10, 10)).shape == (1, 3, 10, 10)
    with pytest.raises(ValueError, match=r"requested an output size of \[12, 12\].* from 9 to 10"):
        layer(lt.randn(1, 2, 5, 5), output_size=(12, 12))


def test_embedding_of_a_given_table_is_frozen_and_keeps_it() -> None:
    table = lt.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer = lt.nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert layer(lt.tensor([1])).tolist() == [[3.0, 4.0]]
    assert lt.nn.Embedding(5, 2, padding_idx=-2).weight[3].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["Linear", "Conv2d", "BatchNorm2d", "LayerNorm", "Embedding", "PReLU"])
def test_every_module_takes_a_dtype_and_a_device(name: str) -> None:
    args = {"Linear": (2, 2), "Conv2d": (2, 2, 1), "Embedding": (2, 2)}.get(name, (2,))
    layer = getattr(lt.nn, name)(*args, dtype=lt.float64, device="cpu")
    assert all(p.dtype == lt.float64 for p in layer.parameters())


def test_a_torch_checkpoint_loads_and_goes_back() -> None:
    def build(nn: Any) -> Any:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3, bias=False)
        )

    ours, theirs = build(lt.nn), build(torch.nn)
    result = ours.load_state_dict({k: lt.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    assert str(result) == "<All keys matched successfully>"
    a = sample((2, 1, 8, 8))
    close(ours.eval()(lt.from_numpy(a)), theirs.eval()(torch.from_numpy(a)), "float32")
    back = {k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()}
    assert str(build(torch.nn).load_state_dict(back)) == "<All keys matched successfully>"
