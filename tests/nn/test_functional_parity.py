"""Every function of nn.functional against PyTorch's: results, gradients, strides, empty axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import check_op, sample

torch = pytest.importorskip("torch", reason="parity needs torch")
F, TF = lt.nn.functional, torch.nn.functional

ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {"alpha": 0.7}),
    ("celu", {"alpha": 1.3}),
    ("selu", {}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("mish", {}),
    ("softplus", {}),
    ("softplus", {"beta": 2.0, "threshold": 1.0}),
    ("hardtanh", {"min_val": -0.5, "max_val": 0.7}),
    ("relu6", {}),
    ("hardswish", {}),
    ("hardsigmoid", {}),
    ("softsign", {}),
    ("tanhshrink", {}),
    ("softshrink", {"lambd": 0.3}),
    ("hardshrink", {"lambd": 0.3}),
    ("logsigmoid", {}),
    ("threshold", {"threshold": 0.2, "value": -3.0}),
    ("softmax", {"dim": 1}),
    ("log_softmax", {"dim": 0}),
    ("softmin", {"dim": -1}),
    ("rrelu", {}),
]


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS)
def test_an_activation_and_its_gradient_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    check_op(
        lambda x: getattr(F, name)(x, **options),
        lambda x: getattr(TF, name)(x, **options),
        [(3, 5)],
        low=-4.0,
        high=4.0,
        gradcheck=False,
        # PyTorch computes with 1/6 and 1/alpha rounded to float32, also in float64.
        dtypes=("float32",) if name in ("celu", "hardsigmoid") else ("float32", "float64"),
    )


def test_celu_and_hardsigmoid_have_the_gradients_of_their_formulas_in_float64() -> None:
    a = sample((30,), "float64", -4, 4)
    x = lt.from_numpy(a).requires_grad_()
    (slope,) = lt.autograd.grad(F.celu(x, 1.3).sum(), x)
    np.testing.assert_allclose(slope.numpy(), np.where(a > 0, 1.0, np.exp(a / 1.3)), rtol=1e-12)
    (slope,) = lt.autograd.grad(F.hardsigmoid(x).sum(), x)
    np.testing.assert_allclose(slope.numpy(), np.where(np.abs(a) < 3, 1 / 6, 0.0), rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "elu", "celu", "selu", "silu", "mish", "relu6", "hardswish"]
)
def test_an_in_place_activation_changes_its_input_and_keeps_the_gradient(name: str) -> None:
    a = sample((4, 3), "float64", -4, 4)
    x, tx = lt.from_numpy(a.copy()).requires_grad_(), torch.from_numpy(a.copy()).requires_grad_()
    y, ty = x * 2, tx * 2
    got, want = getattr(F, name)(y, inplace=True), getattr(TF, name)(ty, inplace=True)
    assert got is y
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-9)
    got.sum().backward()
    want.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_glu_and_prelu_are_those_of_torch() -> None:
    check_op(F.glu, TF.glu, [(3, 4)], edges=[[(0, 4)], [(3, 5)]])
    check_op(lambda x: F.glu(x, 0), lambda x: TF.glu(x, 0), [(4, 3, 2)], edges=False)
    check_op(F.prelu, TF.prelu, [(2, 3, 4), (3,)], edges=False)
    check_op(F.prelu, TF.prelu, [(2, 3), (1,)], edges=False)


CONV2D: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 8, 7), (4, 3, 3, 3), {}),
    ((2, 4, 8, 7), (6, 2, 3, 2), {"stride": (2, 1), "padding": (1, 2), "groups": 2}),
    ((3, 8, 7), (4, 3, 3, 3), {"dilation": 2}),
    ((1, 2, 6, 6), (3, 2, 4, 3), {"padding": "same"}),
    ((1, 2, 6, 6), (3, 2, 2, 3), {"padding": "same", "dilation": (3, 1)}),
    ((1, 2, 6, 6), (3, 2, 3, 3), {"padding": "valid"}),
    ((2, 4, 5, 5), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    ((0, 3, 8, 7), (4, 3, 3, 3), {}),
]


@pytest.mark.parametrize(("x", "w", "options"), CONV2D)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv2d_is_that_of_torch(x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]) -> None:
    check_op(
        lambda x, w, b: F.conv2d(x, w, b, **options),
        lambda x, w, b: TF.conv2d(x, w, b, **options),
        [x, w, (w[0],)],
        edges=False,
        gradcheck=False,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((2, 3, 9), (4, 3, 3), {}),
        ((3, 9), (4, 3, 3), {"stride": 2, "padding": 1}),
        ((2, 4, 9), (6, 2, 3), {"groups": 2, "dilation": 2}),
        ((2, 3, 9), (4, 3, 4), {"padding": "same"}),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv1d_is_that_of_torch(x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]) -> None:
    check_op(
        lambda x, w, b: F.conv1d(x, w, b, **options),
        lambda x, w, b: TF.conv1d(x, w, b, **options),
        [x, w, (w[0],)],
        edges=False,
        gradcheck=False,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((2, 3, 4, 5), (3, 2, 3, 3), {}),
        ((3, 4, 5), (3, 2, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((2, 4, 4, 5), (4, 3, 3, 2), {"groups": 2, "stride": (2, 3), "output_padding": (1, 2)}),
        ((1, 2, 4, 4), (2, 3, 3, 3), {"dilation": 3, "output_padding": 2, "padding": 2}),
    ],
)
def test_conv_transpose2d_is_that_of_torch(
    x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]
) -> None:
    outputs = w[1] * options.get("groups", 1)
    check_op(
        lambda x, w, b: F.conv_transpose2d(x, w, b, **options),
        lambda x, w, b: TF.conv_transpose2d(x, w, b, **options),
        [x, w, (outputs,)],
        edges=False,
        strided=False,
        gradcheck=False,
        rtol=1e-4,
        atol=1e-4,
    )


def test_conv_transpose1d_is_that_of_torch() -> None:
    check_op(
        lambda x, w, b: F.conv_transpose1d(x, w, b, stride=3, padding=1, output_padding=2),
        lambda x, w, b: TF.conv_transpose1d(x, w, b, stride=3, padding=1, output_padding=2),
        [(2, 3, 5), (3, 4, 4), (4,)],
        edges=False,
        strided=False,
        gradcheck=False,
        rtol=1e-4,
        atol=1e-4,
    )


MAX_POOLS = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "dilation": 2, "stride": 1},
]


@pytest.mark.parametrize("options", MAX_POOLS)
@pytest.mark.parametrize("shape", [(2, 3, 7, 6), (3, 7, 6)])
def test_max_pool2d_and_its_indices_are_those_of_torch(
    options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    check_op(
        lambda x: F.max_pool2d(x, return_indices=True, **options),
        lambda x: TF.max_pool2d(x, return_indices=True, **options),
        [shape],
        edges=False,
        gradcheck=False,
        strided=False,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2), "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 3, "padding": 1, "count_include_pad": False},
        {"kernel_size": 3, "divisor_override": 5},
    ],
)
def test_avg_pool2d_is_that_of_torch(options: dict[str, Any]) -> None:
    check_op(
        lambda x: F.avg_pool2d(x, **options),
        lambda x: TF.avg_pool2d(x, **options),
        [(2, 3, 7, 6)],
        edges=False,
        gradcheck=False,
    )


def test_pools_over_one_axis_are_those_of_torch() -> None:
    def same(ours: Any, theirs: Any) -> None:
        for shape in [(2, 3, 9), (3, 9)]:
            check_op(ours, theirs, [shape], edges=False, gradcheck=False, strided=False)

    same(
        lambda x: F.max_pool1d(x, 3, 2, 1, ceil_mode=True, return_indices=True),
        lambda x: TF.max_pool1d(x, 3, 2, 1, ceil_mode=True, return_indices=True),
    )
    same(
        lambda x: F.avg_pool1d(x, 3, 2, 1, True, False),
        lambda x: TF.avg_pool1d(x, 3, 2, 1, True, False),
    )
    same(lambda x: F.adaptive_avg_pool1d(x, 4), lambda x: TF.adaptive_avg_pool1d(x, 4))
    same(
        lambda x: F.adaptive_max_pool1d(x, 4, return_indices=True),
        lambda x: TF.adaptive_max_pool1d(x, 4, return_indices=True),
    )
    same(lambda x: F.lp_pool1d(x.abs(), 3.0, 2), lambda x: TF.lp_pool1d(x.abs(), 3.0, 2))


@pytest.mark.parametrize("size", [1, 3, (2, 5), (None, 2)])
def test_adaptive_pools_are_those_of_torch(size: Any) -> None:
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        check_op(
            lambda x, name=name: getattr(F, name)(x, size),
            lambda x, name=name: getattr(TF, name)(x, size),
            [(2, 3, 7, 6)],
            edges=False,
            gradcheck=False,
            strided=False,
        )


def test_max_unpool2d_undoes_a_pool_even_where_windows_overlap() -> None:
    def both(f: Any) -> Any:
        def run(x: Any) -> Any:
            y, where = f.max_pool2d(x, 3, 1, return_indices=True)
            return f.max_unpool2d(y, where, 3, 1)

        return run

    check_op(both(F), both(TF), [(2, 3, 6, 5)], edges=False, gradcheck=False, grad=False, strided=False)

    def apart(f: Any) -> Any:
        def run(x: Any) -> Any:
            y, where = f.max_pool2d(x, 2, return_indices=True)
            return f.max_unpool2d(y, where, 2, output_size=(7, 6))

        return run

    check_op(apart(F), apart(TF), [(2, 3, 7, 6)], edges=False, strided=False, gradcheck=False)


def test_normalisations_are_those_of_torch() -> None:
    check_op(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: TF.batch_norm(x, None, None, w, b, True),
        [(4, 3, 5, 2), (3,), (3,)],
        edges=False,
        rtol=1e-4,
        atol=1e-5,
    )
    check_op(
        lambda x, w, b: F.layer_norm(x, (4, 5), w, b),
        lambda x, w, b: TF.layer_norm(x, (4, 5), w, b),
        [(3, 4, 5), (4, 5), (4, 5)],
        edges=False,
        rtol=1e-4,
        atol=1e-5,
    )
    check_op(
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: TF.group_norm(x, 2, w, b),
        [(3, 4, 5), (4,), (4,)],
        edges=False,
        rtol=1e-4,
        atol=1e-5,
    )
    check_op(
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: TF.instance_norm(x, weight=w, bias=b),
        [(3, 4, 5), (4,), (4,)],
        edges=False,
        rtol=1e-4,
        atol=1e-5,
    )
    check_op(
        lambda x, w: F.rms_norm(x, (5,), w),
        lambda x, w: TF.rms_norm(x, (5,), w),
        [(3, 5), (5,)],
        edges=False,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_local_response_norm_is_that_of_torch_for_odd_and_even_windows(size: int) -> None:
    check_op(
        lambda x: F.local_response_norm(x, size, alpha=0.5, beta=0.6, k=2.0),
        lambda x: TF.local_response_norm(x, size, alpha=0.5, beta=0.6, k=2.0),
        [(2, 6, 3, 2)],
        edges=False,
        strided=False,
    )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("shape", "pads"), [((2, 3, 5), (1, 2)), ((2, 3, 5, 4), (2, 1, 3, 0))])
def test_pad_is_that_of_torch_in_every_mode(mode: str, shape: tuple[int, ...], pads: tuple[int, ...]) -> None:
    check_op(lambda x: F.pad(x, pads, mode), lambda x: TF.pad(x, pads, mode), [shape], edges=False)


def test_pad_takes_a_value_and_crops_with_negative_numbers() -> None:
    check_op(
        lambda x: F.pad(x, (1, -1, -2, 3), value=1.5),
        lambda x: TF.pad(x, (1, -1, -2, 3), value=1.5),
        [(3, 4, 5)],
        edges=False,
    )


def test_linear_bilinear_and_distances_are_those_of_torch() -> None:
    check_op(F.linear, TF.linear, [(2, 3, 4), (5, 4), (5,)], edges=False)
    check_op(F.linear, TF.linear, [(4,), (5, 4)], edges=False)
    check_op(F.bilinear, TF.bilinear, [(6, 3), (6, 4), (5, 3, 4), (5,)], edges=False)
    check_op(F.cosine_similarity, TF.cosine_similarity, [(3, 4), (3, 4)], edges=False)
    check_op(F.pairwise_distance, TF.pairwise_distance, [(3, 4), (3, 4)], edges=False)
    check_op(
        lambda x: F.normalize(x, p=3.0, dim=0), lambda x: TF.normalize(x, p=3.0, dim=0), [(3, 4)], edges=False
    )


INTERPOLATIONS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 5), {"size": 8, "mode": "nearest"}),
    ((2, 3, 5, 4), {"scale_factor": 2.5, "mode": "nearest"}),
    ((2, 3, 5, 4), {"size": (3, 7), "mode": "nearest-exact"}),
    ((2, 3, 5), {"size": 8, "mode": "linear"}),
    ((2, 3, 5, 4), {"size": (9, 3), "mode": "bilinear"}),
    ((2, 3, 5, 4), {"size": (9, 3), "mode": "bilinear", "align_corners": True}),
    ((2, 3, 5, 4), {"scale_factor": (1.5, 2.2), "mode": "bilinear"}),
    ((2, 3, 5, 4), {"scale_factor": 1.5, "mode": "bilinear", "recompute_scale_factor": True}),
    ((2, 3, 5, 4), {"size": (9, 3), "mode": "bicubic"}),
    ((2, 3, 5, 4), {"size": (7, 6), "mode": "bicubic", "align_corners": True}),
    ((2, 3, 5, 4), {"size": (2, 3), "mode": "area"}),
]


@pytest.mark.parametrize(("shape", "options"), INTERPOLATIONS)
def test_interpolate_is_that_of_torch(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    check_op(
        lambda x: F.interpolate(x, **options),
        lambda x: TF.interpolate(x, **options),
        [shape],
        edges=False,
        strided=False,
        gradcheck=False,
        rtol=1e-4,
        atol=1e-5,
    )


def test_unfold_fold_and_the_shuffles_are_those_of_torch() -> None:
    args = {"kernel_size": (2, 3), "dilation": (2, 1), "padding": 1, "stride": (1, 2)}
    check_op(lambda x: F.unfold(x, **args), lambda x: TF.unfold(x, **args), [(2, 3, 6, 7)], edges=False)
    columns = TF.unfold(torch.zeros(2, 3, 6, 7), **args).shape
    check_op(
        lambda x: F.fold(x, (6, 7), **args),
        lambda x: TF.fold(x, (6, 7), **args),
        [tuple(columns)],
        edges=False,
        gradcheck=False,
    )
    for name, shape, n in (
        ("pixel_shuffle", (2, 8, 3, 4), 2),
        ("pixel_unshuffle", (2, 2, 6, 4), 2),
        ("channel_shuffle", (2, 6, 3, 4), 3),
    ):
        check_op(
            lambda x, name=name, n=n: getattr(F, name)(x, n),
            lambda x, name=name, n=n: getattr(TF, name)(x, n),
            [shape],
            edges=False,
            gradcheck=False,
        )


def test_attention_is_that_of_torch() -> None:
    shapes = [(2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7)]
    mask = np.array([[True, True, False, True, False, True]] * 5)
    mask[2] = False
    bias = sample((5, 6), "float64")
    sdpa, theirs = F.scaled_dot_product_attention, TF.scaled_dot_product_attention
    for ours, other in (
        (lambda q, k, v: sdpa(q, k, v), lambda q, k, v: theirs(q, k, v)),
        (lambda q, k, v: sdpa(q, k, v, is_causal=True), lambda q, k, v: theirs(q, k, v, is_causal=True)),
        (
            lambda q, k, v: sdpa(q, k, v, attn_mask=lt.from_numpy(mask)),
            lambda q, k, v: theirs(q, k, v, attn_mask=torch.from_numpy(mask)),
        ),
        (
            lambda q, k, v: sdpa(q, k, v, attn_mask=lt.from_numpy(bias).to(q.dtype), scale=0.3),
            lambda q, k, v: theirs(q, k, v, attn_mask=torch.from_numpy(bias).to(q.dtype), scale=0.3),
        ),
    ):
        check_op(ours, other, shapes, edges=False, strided=False, gradcheck=False, rtol=1e-4, atol=1e-5)
    check_op(
        lambda q, k, v: sdpa(q, k, v, enable_gqa=True),
        lambda q, k, v: theirs(q, k, v, enable_gqa=True),
        [(2, 4, 5, 4), (2, 2, 6, 4), (2, 2, 6, 7)],
        edges=False,
        strided=False,
        gradcheck=False,
        rtol=1e-4,
        atol=1e-5,
    )


def test_embedding_and_its_gradient_are_those_of_torch() -> None:
    rows = np.array([[1, 3, 3], [0, 2, 1]])
    for options in ({}, {"padding_idx": 1}, {"padding_idx": -1}, {"scale_grad_by_freq": True}):
        check_op(
            lambda w, o=options: F.embedding(lt.from_numpy(rows), w, **o),
            lambda w, o=options: TF.embedding(torch.from_numpy(rows), w, **o),
            [(4, 3)],
            edges=False,
            strided=False,
            gradcheck=False,
        )


def test_embedding_with_a_largest_norm_scales_the_rows_it_reads_in_place() -> None:
    table, rows = sample((4, 3), "float64", -3, 3), np.array([1, 3, 3])
    ours, theirs = lt.from_numpy(table.copy()), torch.from_numpy(table.copy())
    got = F.embedding(lt.from_numpy(rows), ours, max_norm=1.0)
    want = TF.embedding(torch.from_numpy(rows), theirs, max_norm=1.0)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
    assert (ours.numpy()[0] == table[0]).all()


def test_one_hot_is_that_of_torch() -> None:
    classes = np.array([[0, 2], [1, 1]])
    for n in (-1, 5):
        want = TF.one_hot(torch.from_numpy(classes), n)
        assert F.one_hot(lt.from_numpy(classes), n).tolist() == want.tolist()


def test_softmax_without_an_axis_warns_and_chooses_as_torch_does() -> None:
    for shape in [(4,), (3, 4), (2, 3, 4), (2, 3, 4, 2)]:
        a = sample(shape, "float64")
        with pytest.warns(UserWarning, match="implicit dimension choice"):
            got = F.softmax(lt.from_numpy(a))
        with pytest.warns(UserWarning, match="Implicit dimension choice"):
            want = TF.softmax(torch.from_numpy(a))
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12)
