"""Every differentiable operation: gradients, and gradients of gradients, against finite differences."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import lectorium as lt
from lectorium import ops as o
from lectorium.autograd import gradcheck, gradgradcheck

Case = tuple[str, Callable[..., Any], list[tuple[int, ...]], str]
CASES: list[Case] = []
COVERED: set[str] = set()


def case(names: str, function: Callable[..., Any], *shapes: tuple[int, ...], values: str = "any") -> None:
    """``names``: the operations of ``lectorium.ops`` that the function exercises, the first as label."""
    COVERED.update(names.split())
    CASES.append((f"{names.split()[0]}-{len(CASES)}", function, list(shapes), values))


M = (3, 4)
for name in (
    "neg abs exp exp2 expm1 sin cos tanh sinh cosh atan asinh sigmoid erf erfc square relu logsigmoid selu gelu "
    "gelu_tanh silu mish hardswish hardsigmoid softsign tanhshrink sign floor ceil round trunc frac clone contiguous"
).split():
    case(name, getattr(o, name), M)
for name in "lgamma digamma log log2 log10 log1p sqrt rsqrt reciprocal".split():
    case(name, getattr(o, name), M, values="positive")
for name in "asin acos atanh erfinv tan".split():
    case(name, getattr(o, name), M, values="small")
case("acosh", lambda x: o.acosh(x + 1.1), M, values="positive")
case("logit", lambda x: o.logit(x * 0.4 + 0.5), M, values="small")
for name, extra in {
    "leaky_relu": (0.1,), "elu": (1.5,), "celu": (1.2,), "softplus": (1.0, 20.0), "hardtanh": (-1.0, 1.0),
    "softshrink": (0.5,), "hardshrink": (0.5,), "threshold": (0.1, 2.0),
}.items():  # fmt: skip
    case(name, lambda x, name=name, extra=extra: getattr(o, name)(x, *extra), M)
for shift in (-2.5, 5.0, 40.0):
    case("digamma", lambda x, shift=shift: o.digamma(x * 0.3 + shift), M, values="small")
for name in "add sub mul maximum minimum fmax fmin atan2 hypot logaddexp copysign".split():
    case(name, getattr(o, name), M, (4,))
for name in "div remainder fmod".split():
    case(name, getattr(o, name), M, (3, 1), values="positive")
case("add", lambda x, y: o.add(x, y, 2.5), M, M)
case("sub", lambda x, y: o.sub(x, y, 2.5), M, M)
case("pow", o.pow, M, (4,), values="positive")
case("pow", lambda x: o.pow(x, 3), M)
case("pow", lambda x: o.pow(x, 2), M)
case("pow", lambda x: o.pow(2.0, x), M)
case("where_ where", lambda x, y: o.where(x.detach() > 0, x, y), M, (4,))
case("lerp", o.lerp, M, (4,), M)
case("lerp", lambda x, y: o.lerp(x, y, 0.3), M, (4,))
case("addcmul", lambda x, y, z: o.addcmul(x, y, z, 0.7), M, (4,), M)
case("squared_error squared_error_grad", lambda x, y: o.squared_error(x, y) * x, M, (4,))
case("squared_error_grad", o.squared_error_grad, M, M, (4,))
case("bce_logits bce_logits_grad", o.bce_logits, M, M)
case("bce_logits_grad", o.bce_logits_grad, M, M, M)
case("clamp", lambda x: o.clamp(x, -0.5, 0.5), M)
case("overwrite", lambda x, y: o.overwrite(x * 2, y) * x, M, (4,))
case("cast", lambda x: o.cast(x, lt.float64) * x, M)
case("tanh_grad", o.tanh_grad, M, M)
case("sigmoid_grad", o.sigmoid_grad, M, M)
case("relu_grad", lambda g, y: o.relu_grad(g, y.detach()), M, M)

for dim in ((), (1,), (0, 1)):
    case("sum", lambda x, dim=dim: o.sum(x * x, dim), M)
    case("mean", lambda x, dim=dim: o.mean(x * x, dim, True), M)
    case("var", lambda x, dim=dim: o.var(x, dim, False, 1.0), M)
    case("std", lambda x, dim=dim: o.std(x, dim, False, 1.0), M)
    case("prod", lambda x, dim=dim: o.prod(x, dim), M)
    case("amax", lambda x, dim=dim: o.amax(x, dim), M)
    case("amin", lambda x, dim=dim: o.amin(x, dim, True), M)
    case("logsumexp", lambda x, dim=dim or (0, 1): o.logsumexp(x, dim), M)
    for p in (1.0, 2.0, 3.0, 0.5, float("inf")):
        case("norm_p", lambda x, dim=dim, p=p: o.norm_p(x, p, dim), M, values="positive")
case("sum_to", lambda x: o.sum_to(x, lt._core.meta(lt.zeros(4, dtype=lt.float64))), M)
for name in "max_dim min_dim cummax cummin median_dim".split():
    case(name, lambda x, name=name: getattr(o, name)(x, 1)[0] * 2, M)
case("kthvalue", lambda x: o.kthvalue(x, 2, 1)[0], M)
case("topk", lambda x: o.topk(x, 2, 1, True, True)[0], M)
case("sort", lambda x: o.sort(x, 1, True, False)[0] ** 2, M)
case("median", o.median, (3, 3))
case("cumsum", lambda x: o.cumsum(x * x, 1), M)
case("cumsum_reverse", lambda x: o.cumsum_reverse(x * x, 0), M)
case("cumprod", lambda x: o.cumprod(x, 1), M)
case("logcumsumexp", lambda x: o.logcumsumexp(x, 1), M)
case("softmax", lambda x: o.softmax(x, 1), M)
case("log_softmax", lambda x: o.log_softmax(x, 0), M)
case("softmax_grad", lambda g, x: o.softmax_grad(g, x.softmax(1), 1), M, M)
case("log_softmax_grad", lambda g, x: o.log_softmax_grad(g, x.log_softmax(1), 1), M, M)

for a, b in [
    ((3, 4), (4, 2)),
    ((4,), (4,)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (4, 2)),
    ((1, 3, 4), (3, 4, 2)),
]:
    case("matmul", o.matmul, a, b)
case("linear", o.linear, (2, 3, 4), (5, 4), (5,))
case("linear", lambda x, w: o.linear(x, w, None), (4,), (5, 4))
case("linear_relu", lambda x, w, b: o.linear_relu(x, w, b) ** 2, (2, 3, 4), (5, 4), (5,))
case("einsum", lambda a, b: lt.einsum("bij,bjk->bik", a, b), (2, 3, 4), (2, 4, 2))
case("einsum", lambda a: lt.einsum("ii->i", a), (3, 3))

IDX = lt.tensor([[0, 1], [2, 0]])
case("reshape view", lambda x: o.view(o.reshape(x.t(), [2, 6]), [12]) ** 2, M)
case("permute transpose", lambda x: o.permute(o.transpose(x, 0, 1), [1, 0]) ** 2, M)
case("expand", lambda x: o.expand(x, [2, 3, 4]) ** 2, M)
case("squeeze unsqueeze", lambda x: o.squeeze(o.unsqueeze(x, 1), 1) ** 2, M)
case("narrow", lambda x: o.narrow(x, 1, 1, 2) ** 2, M)
case("as_strided", lambda x: o.as_strided(x, [2, 2], [1, 1], 1) ** 2, (4,))
case("as_strided_scatter_add", lambda x: o.as_strided_scatter_add(x, 6, 1, [1, 1]) ** 2, (2, 2))
case("diagonal", lambda x: o.diagonal(x, 1) ** 2, M)
case(
    "diagonal_grad",
    lambda g: o.diagonal_grad(g, lt._core.meta(lt.zeros(3, 4, dtype=lt.float64)), 0, 0, 1) ** 2,
    (3,),
)
case("unfold", lambda x: o.unfold(x, 0, 3, 1) ** 2, (5,))
case("basic_index", lambda x: x[1:, ::2] ** 2 + x[0, 0], M)
case("basic_index", lambda x: x[None, ..., 1] ** 2, M)
case("basic_index basic_index_grad", lambda x: x.t()[1:, 0] ** 2, M)
case("_cat cat", lambda x, y: o.cat([x, y], 1) ** 2, (2, 3), (2, 1))
case("pad_constant", lambda x: o.pad_constant(x, [(1, 0), (-1, 2)], 0.5) ** 2, M)
for mode in ("reflect", "replicate", "circular"):
    case("pad_index pad_index_grad", lambda x, mode=mode: o.pad_index(x, [1, 1], mode) ** 2, M)
case("flip roll", lambda x: o.roll(o.flip(x, [0]), [1], [1]) ** 2, M)
case("tril triu", lambda x: o.tril(x) ** 2 + o.triu(x, 1) ** 3, M)
case("repeat_interleave", lambda x: o.repeat_interleave(x, 2, 1) ** 2, M)
case("gather", lambda x: o.gather(x, 0, IDX) ** 2, (3, 2))
case("scatter", lambda x, s: o.scatter(x, 0, IDX, s) ** 2, (3, 2), (2, 2))
case("scatter_value", lambda x: o.scatter_value(x, 0, IDX, 2.0) ** 2, (3, 2))
case("scatter_add", lambda x, s: o.scatter_add(x, 0, IDX, s) ** 2, (3, 2), (2, 2))
case("index_select", lambda x: o.index_select(x, 1, lt.tensor([0, 2, 0])) ** 2, M)
case("index_add", lambda x, s: o.index_add(x, 0, lt.tensor([0, 0]), s) ** 2, M, (2, 4))
case("index_get index_get_grad", lambda x: x[lt.tensor([0, 2, 0])] ** 2, M)
case("index_get", lambda x: x[:, lt.tensor([0, 1])] ** 2, M)
case("index_get", lambda x: x[lt.tensor([[True, False], [True, True]])] ** 2, (2, 2))
case("index_put", lambda x, v: o.index_put(x, v, [lt.tensor([0, 2])]) ** 2, M, (4,))
case("index_put", lambda x, v: o.index_put(x, v, [lt.tensor([0, 0])], True) ** 2, M, (2, 4))
case("masked_fill", lambda x: o.masked_fill(x, x.detach() > 0, 1.0) ** 2, M)
case("embedding", lambda w: o.embedding(IDX, w, None) ** 2, (3, 2))
case("dropout dropout_grad", lambda x: o.dropout(x, 0.5, 1, 2) ** 2, M)

CONV = o.ConvSpec([2, 1], [1, 1], [1, 1], 2)
case("conv2d", lambda x, w, b: o.conv2d(x, w, b, CONV), (2, 4, 4, 4), (4, 2, 3, 3), (4,))
case("conv2d_relu", lambda x, w, b: o.conv2d_relu(x, w, b, CONV) ** 2, (2, 4, 4, 4), (4, 2, 3, 3), (4,))
POOL = o.PoolSpec([2, 2], [2, 2], [0, 0], [1, 1], False)
case("max_pool2d", lambda x: o.max_pool2d(x, POOL)[0] ** 2, (1, 2, 4, 4))
case("avg_pool2d", lambda x: o.avg_pool2d(x, POOL, True, None) ** 2, (1, 2, 4, 4))
case("adaptive_avg_pool2d", lambda x: o.adaptive_avg_pool2d(x, [2, 3]) ** 2, (1, 2, 4, 5))
case(
    "max_pool2d_offsets max_pool2d_offsets_grad max_pool2d_offsets_gather",
    lambda x: o.max_pool2d_offsets(x, POOL)[0] ** 3,
    (1, 2, 4, 4),
)
case("cat_part", lambda x: o.cat_part(x, 1, 1, 2) ** 2, M)
case("batch_norm_relu", lambda x, w, b: o.batch_norm_relu(x, w, b, 1e-5)[0], (4, 3, 2), (3,), (3,))
case("batch_norm_relu", lambda x: o.batch_norm_relu(x, None, None, 1e-5)[0], (4, 3))
case(
    "batch_norm_relu_inference",
    lambda x, w, b: o.batch_norm_relu_inference(x, w, b, STATS, STATS, 1e-5) ** 2,
    (4, 3, 2), (3,), (3,),
)  # fmt: skip
case("adaptive_max_pool2d", lambda x: o.adaptive_max_pool2d(x, [2, 3])[0] ** 2, (1, 2, 4, 5))
case("batch_norm", lambda x, w, b: o.batch_norm(x, w, b, 1e-5)[0], (4, 3, 2), (3,), (3,))
case("batch_norm", lambda x: o.batch_norm(x, None, None, 1e-5)[0], (4, 3))
STATS = lt.tensor([0.5, 1.0, 2.0], dtype=lt.float64)
case(
    "batch_norm_inference",
    lambda x, w, b: o.batch_norm_inference(x, w, b, STATS, STATS, 1e-5) ** 2,
    (4, 3, 2),
    (3,),
    (3,),
)
case("layer_norm", lambda x, w, b: o.layer_norm(x, 1, w, b, 1e-5)[0], (3, 5), (5,), (5,))
case("group_norm", lambda x, w, b: o.group_norm(x, 2, w, b, 1e-5)[0], (2, 4, 2), (4,), (4,))
case("local_response_norm", lambda x: o.local_response_norm(x, 3, 0.5, 0.75, 1.0)[0], (2, 4, 2, 2))

TARGET, WEIGHT = lt.tensor([0, 2, 1]), lt.tensor([0.5, 1.0, 2.0, 1.0], dtype=lt.float64)
for reduction in ("mean", "sum", "none"):
    case("cross_entropy", lambda x, r=reduction: o.cross_entropy(x, TARGET, WEIGHT, -100, 0.1, r)[0], M)
    case("cross_entropy", lambda x, r=reduction: o.cross_entropy(x, TARGET, None, 2, 0.0, r)[0], M)
    case("nll_loss", lambda x, r=reduction: o.nll_loss(x, TARGET, WEIGHT, -100, r) ** 2, M)

LABELS, TAGS = lt.tensor([[1, 2], [3, 3]]), lt.tensor([[0, 1], [2, 2], [1, 0]])
case("ctc_loss", lambda x: o.ctc_loss(o.log_softmax(x, 2), LABELS, [4, 4], [2, 1], 0, False)[0], (4, 2, 4))
case(
    "crf_log_likelihood",
    lambda x, start, end, t: o.crf_log_likelihood(x, start, end, t, TAGS, [3, 2])[0],
    (3, 2, 3), (3,), (3,), (3, 3),
)  # fmt: skip
case(
    "additive_attention",
    lambda q, k, d, v: o.additive_attention(q, k, d, v, None)[:2],
    (2, 2, 3), (2, 4, 3), (3,), (2, 4, 2),
)  # fmt: skip


@pytest.mark.parametrize(("label", "function", "shapes", "values"), CASES, ids=[c[0] for c in CASES])
def test_gradients_of_first_and_second_order(
    label: str, function: Callable[..., Any], shapes: list[tuple[int, ...]], values: str
) -> None:
    def make(shape: tuple[int, ...]) -> Any:
        t = lt.randn(*shape, dtype=lt.float64)
        if values == "positive":
            t = t.abs() + 0.3
        elif values == "small":
            t = t.tanh() * 0.8
        return t.requires_grad_()

    xs = tuple(make(s) for s in shapes)
    assert gradcheck(function, xs)
    assert gradgradcheck(function, xs)


# The fused kernels' third derivatives: the second ones differentiated again.
THIRD: dict[str, Callable[..., Any]] = {
    **{n: getattr(o, n) for n in "sigmoid tanh gelu gelu_tanh silu mish logsigmoid softsign tanhshrink exp digamma".split()},
    "softplus": lambda x: o.softplus(x, 1.0, 20.0),
    "elu": lambda x: o.elu(x, 1.5),
    "softmax": lambda x: o.softmax(x, 1),
    "log_softmax": lambda x: o.log_softmax(x, 1),
    "pow": lambda x: o.pow(x, 2),
    "matmul": lambda x: o.matmul(x, x.t()) ** 2,
    "layer_norm": lambda x: o.layer_norm(x, 1, None, None, 1e-5)[0],
    "batch_norm": lambda x: o.batch_norm(x, None, None, 1e-5)[0],
    "max_pool2d max_pool2d_gather": lambda x: o.max_pool2d(x.reshape(1, 1, 4, 4), POOL)[0] ** 3,
    "avg_pool2d": lambda x: o.avg_pool2d(x.reshape(1, 1, 4, 4), POOL, True, None) ** 3,
    "conv2d": lambda x: o.conv2d(x.reshape(1, 4, 2, 2), x.reshape(4, 4, 1, 1), None, o.ConvSpec([1, 1], [0, 0], [1, 1], 1)) ** 2,
    "cross_entropy": lambda x: o.cross_entropy(x[:3], TARGET, WEIGHT, -100, 0.1, "mean")[0],
    "norm_p": lambda x: o.norm_p(x, 2.0, (1,)),
    "prod": lambda x: o.prod(x, (1,)),
    "cumprod": lambda x: o.cumprod(x, 1),
}  # fmt: skip
COVERED.update(n for names in THIRD for n in names.split())


@pytest.mark.parametrize("name", THIRD)
def test_gradients_of_third_order(name: str) -> None:
    x = (lt.randn(4, 4, dtype=lt.float64) * 0.7).requires_grad_()

    def slope(x: Any) -> Any:
        return lt.autograd.grad(THIRD[name](x).sum(), x, create_graph=True)[0]

    def bend(x: Any) -> Any:
        return lt.autograd.grad((slope(x) * MIX).sum(), x, create_graph=True)[0]

    assert gradcheck(bend, (x,), atol=1e-4)


MIX = lt.arange(16, dtype=lt.float64).reshape(4, 4) / 7 - 1


def test_every_differentiable_operation_is_in_the_table() -> None:
    recorded = {n for n, f in vars(o).items() if hasattr(f, "op") and inspect.isfunction(f)}
    # `…_grad` is what the second derivative of its operation goes through; moves between devices need a GPU.
    inner = {n for n in recorded if n.endswith("_grad") and any(n.startswith(c) for c in COVERED)}
    assert recorded - COVERED - inner == {"to_gpu", "to_cpu"}
