"""The yardstick of the operations' tests: the same call in PyTorch.

``check_op`` compares results and gradients in float32 and float64, on contiguous and on strided
inputs, on empty axes and axes of size 1, and checks gradients against finite differences::

    check_op(lt.atan2, torch.atan2, [(3, 4), (3, 4)])
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import lectorium as lt

Shape = tuple[int, ...]
TOLERANCE = {
    "float32": (2e-5, 2e-6),
    "float64": (1e-10, 1e-10),
    "float16": (2e-3, 1e-3),
    "bfloat16": (2e-2, 1e-2),
}


def require_torch() -> Any:
    """PyTorch; without it the test (or the whole file) is skipped, or fails in CI."""
    return pytest.importorskip("torch", reason="parity needs torch")


def require_gpu() -> None:
    """Skips without a GPU; fails in CI, which has Mesa's software Vulkan driver."""
    if not lt.gpu.is_available():
        pytest.skip("no GPU: neither a card nor a software Vulkan driver was found")


def to_numpy(t: Any) -> np.ndarray:
    """A tensor of either library as an array; bfloat16 as float32, which holds it exactly."""
    t = t.detach()
    if "bfloat16" in str(t.dtype):
        t = t.float()
    return np.asarray(t.numpy())


def to_torch(t: Any) -> Any:
    """A tensor of ours as one of PyTorch's, copied."""
    torch = require_torch()
    return torch.from_numpy(to_numpy(t).copy()).to(getattr(torch, t.dtype.name))


def dtype_name(t: Any) -> str:
    """``float32`` and so on, of either library."""
    return str(t.dtype).rpartition(".")[2]


def flat_results(result: Any) -> list[Any]:
    """The tensors of a result: one, or those of a (named) tuple."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


def assert_same(
    ours: Any, theirs: Any, *, rtol: float | None = None, atol: float | None = None, what: str = ""
) -> None:
    """Equal shapes, dtypes and values (to the dtype's tolerance; NaN equals NaN); tuples part by part."""
    mine, other = flat_results(ours), flat_results(theirs)
    assert len(mine) == len(other), f"{what}: {len(mine)} results, PyTorch has {len(other)}"
    for i, (a, b) in enumerate(zip(mine, other, strict=True)):
        if not hasattr(b, "dtype"):
            assert a == b, f"{what}[{i}]: {a} instead of {b}"
            continue
        name = dtype_name(b)
        assert dtype_name(a) == name, f"{what}[{i}]: dtype {a.dtype} instead of {b.dtype}"
        assert tuple(a.shape) == tuple(b.shape), (
            f"{what}[{i}]: shape {tuple(a.shape)} instead of {tuple(b.shape)}"
        )
        r, t = TOLERANCE.get(name, (0.0, 0.0))
        np.testing.assert_allclose(
            to_numpy(a), to_numpy(b), rtol=r if rtol is None else rtol, atol=t if atol is None else atol,
            err_msg=f"{what}[{i}]",
        )  # fmt: skip


def sample(
    shape: Shape, dtype: str = "float32", low: float = -2.0, high: float = 2.0, seed: int = 0
) -> np.ndarray:
    """Random values, the same for the same arguments; integers include ``low`` and ``high``."""
    rng = np.random.default_rng(zlib.crc32(repr((shape, seed)).encode()))
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return rng.uniform(low, high, shape).astype(dtype)
    return rng.integers(
        int(max(low, 0) if dtype == "uint8" else low), int(high), shape, endpoint=True
    ).astype(dtype)


def layouts(a: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays of the shape of ``a`` whose memory is laid out in other ways (the values may differ)."""
    if a.ndim == 0:
        return
    yield "transposed", np.ascontiguousarray(a.T).T
    wide = np.repeat(a, 2, axis=-1)
    wide[..., 1::2] = 0
    yield "stepped", wide[..., ::2]
    yield "offset", np.concatenate([a[:1], a])[len(a[:1]) :]
    yield "reversed", np.ascontiguousarray(np.flip(a))[(slice(None, None, -1),) * a.ndim]
    if a.shape[0]:
        yield "expanded", np.broadcast_to(a[:1], a.shape)


def leaf(a: np.ndarray, grad: bool) -> Any:
    """Our tensor on the memory of the array, as it is laid out."""
    t = lt.from_numpy(a)
    return t.requires_grad_() if grad and t.dtype.is_floating_point else t


def _theirs(a: np.ndarray, grad: bool) -> Any:
    t = require_torch().from_numpy(np.array(a, order="C"))
    return t.requires_grad_() if grad and t.is_floating_point() else t


def _seed_gradient(t: Any) -> np.ndarray:
    return sample(tuple(t.shape), dtype_name(t), -1.0, 1.0, seed=99)


def _run(
    function: Callable[..., Any], inputs: list[Any], back: Callable[[list[Any], list[Any]], None], grad: bool
) -> Any:
    out = function(*inputs)
    if grad:
        roots = [o for o in flat_results(out) if o.requires_grad]
        if roots:
            back(roots, inputs)
    return out


def _compare(
    ours: Any,
    theirs: Any,
    arrays: list[np.ndarray],
    grad: bool,
    tolerance: dict[str, float | None],
    what: str,
) -> None:
    torch = require_torch()

    def back(roots: list[Any], make: Any, run: Any) -> None:
        run(roots, [make(_seed_gradient(r)) for r in roots])

    xs, ys = [leaf(a, grad) for a in arrays], [_theirs(a, grad) for a in arrays]
    try:
        want = _run(theirs, ys, lambda r, _: back(r, torch.from_numpy, torch.autograd.backward), grad)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        # What PyTorch refuses, we refuse.
        with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)):  # noqa: PT012
            ours(*xs)
            pytest.fail(f"{what}: PyTorch refuses this ({error})")
        return
    got = _run(ours, xs, lambda r, _: back(r, lt.from_numpy, lt.autograd.backward), grad)
    assert_same(got, want, what=what, **tolerance)
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if grad and y.requires_grad:
            assert (x.grad is None) == (y.grad is None), (
                f"{what}: gradient of input {i}: {x.grad} instead of {y.grad}"
            )
            if y.grad is not None:
                assert_same(x.grad, y.grad, what=f"{what}, gradient of input {i}", **tolerance)


def _edges(shapes: Sequence[Shape]) -> list[list[Shape]]:
    """The same shapes with an axis of size 0 and of size 1, where all inputs have one shape."""
    first = shapes[0]
    if not first or any(s != first for s in shapes):
        return []
    n = len(shapes)
    found = [(0, *first[1:]), (1, *first[1:]), (*first[:-1], 1), (*first[:-1], 0)]
    return [[shape] * n for shape in dict.fromkeys(found)]


def check_op(
    ours: Callable[..., Any],
    torch_fn: Callable[..., Any],
    shapes: Sequence[Shape],
    *,
    low: float = -2.0,
    high: float = 2.0,
    dtypes: Sequence[str] = ("float32", "float64"),
    grad: bool = True,
    gradcheck: bool | None = None,
    gradgradcheck: bool = False,
    strided: bool = True,
    edges: bool | Sequence[Sequence[Shape]] = True,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Holds ``ours(*tensors)`` against ``torch_fn(*tensors)``, tensors of the given shapes.

    ``low``, ``high``: the range of the values. ``edges``: more lists of shapes to try, by default made
    from ``shapes`` with axes of size 0 and 1; what PyTorch refuses there, ours must refuse too.
    ``rtol``, ``atol`` replace the tolerance of float32 (float64 stays at 1e-10).
    """
    shapes = [tuple(s) for s in shapes]
    for dtype in dtypes:
        tolerance = {"rtol": rtol, "atol": atol} if dtype == "float32" else {"rtol": None, "atol": None}
        arrays = [sample(s, dtype, low, high, i) for i, s in enumerate(shapes)]
        want_grad = grad and dtype.startswith("float")
        _compare(ours, torch_fn, arrays, want_grad, tolerance, f"{dtype} {shapes}")
        others = [*map(list, edges)] if not isinstance(edges, bool) else _edges(shapes) if edges else []
        for other in others:
            made = [sample(tuple(s), dtype, low, high, i) for i, s in enumerate(other)]
            _compare(ours, torch_fn, made, want_grad, tolerance, f"{dtype} {other}")
        if strided:
            kinds = [dict(layouts(a)) for a in arrays]
            for kind in dict.fromkeys(k for d in kinds for k in d):
                made = [d.get(kind, a) for d, a in zip(kinds, arrays, strict=True)]
                _compare(ours, torch_fn, made, want_grad, tolerance, f"{dtype} {shapes} {kind}")
    if grad if gradcheck is None else gradcheck:
        xs = [leaf(sample(s, "float64", low, high, i), True) for i, s in enumerate(shapes)]
        lt.autograd.gradcheck(ours, tuple(xs), atol=1e-5, rtol=1e-4)
    if gradgradcheck:
        xs = [leaf(sample(s, "float64", low, high, i), True) for i, s in enumerate(shapes)]
        lt.autograd.gradgradcheck(ours, tuple(xs), atol=1e-5, rtol=1e-3)
