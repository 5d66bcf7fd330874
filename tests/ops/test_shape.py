"""Views, joins and moves against PyTorch, and chains of views against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import lectorium as lt
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()

# How it is called in both libraries, and the shapes of its inputs.
CASES: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "reshape": (lambda m, x: x.reshape(4, -1), [(2, 3, 4)]),
    "view": (lambda m, x: m.zeros_like(x).add(x).view(3, 8), [(2, 3, 4)]),
    "flatten": (lambda m, x: m.flatten(x, 1), [(2, 3, 4)]),
    "flatten a number": (lambda m, x: x.flatten(), [()]),
    "unflatten": (lambda m, x: x.unflatten(1, (2, -1)), [(3, 4)]),
    "squeeze": (lambda m, x: x.squeeze(), [(1, 3, 1)]),
    "squeeze one": (lambda m, x: x.squeeze(0), [(1, 3, 1)]),
    "squeeze none": (lambda m, x: x.squeeze(1), [(1, 3, 1)]),
    "squeeze several": (lambda m, x: x.squeeze((0, -1)), [(1, 3, 1)]),
    "unsqueeze": (lambda m, x: x.unsqueeze(1), [(3, 4)]),
    "unsqueeze last": (lambda m, x: x.unsqueeze(-1), [(3, 4)]),
    "t": (lambda m, x: x.t(), [(3, 4)]),
    "T": (lambda m, x: x.T, [(3, 4)]),
    "mT": (lambda m, x: x.mT, [(2, 3, 4)]),
    "permute": (lambda m, x: x.permute(2, 0, 1), [(2, 3, 4)]),
    "permute negative": (lambda m, x: m.permute(x, (-1, 0, 1)), [(2, 3, 4)]),
    "transpose": (lambda m, x: x.transpose(0, -1), [(2, 3, 4)]),
    "movedim": (lambda m, x: m.movedim(x, 0, -1), [(2, 3, 4)]),
    "movedim several": (lambda m, x: m.movedim(x, (0, 1), (-1, 0)), [(2, 3, 4)]),
    "expand": (lambda m, x: x.expand(2, -1, 4), [(3, 1)]),
    "broadcast_to": (lambda m, x: m.broadcast_to(x, (2, 3, 4)), [(3, 1)]),
    "repeat": (lambda m, x: x.repeat(2, 1, 3), [(3, 4)]),
    "tile": (lambda m, x: m.tile(x, (2,)), [(3, 4)]),
    "cat": (lambda m, x, y: m.cat([x, y, x], 1), [(2, 3), (2, 4)]),
    "cat negative": (lambda m, x, y: m.cat((x, y), dim=-2), [(2, 3), (1, 3)]),
    "cat with a legacy empty": (lambda m, x, y: m.cat([x, y], 0), [(2, 3), (0,)]),
    "stack": (lambda m, x, y: m.stack([x, y], -1), [(2, 3), (2, 3)]),
    "hstack": (lambda m, x, y: m.hstack([x, y]), [(2, 3), (2, 1)]),
    "hstack of vectors": (lambda m, x, y: m.hstack([x, y]), [(3,), (2,)]),
    "vstack": (lambda m, x, y: m.vstack([x, y]), [(3,), (2, 3)]),
    "split": (lambda m, x: m.split(x, 2, 1), [(2, 5)]),
    "split sections": (lambda m, x: x.split([1, 0, 4], 1), [(2, 5)]),
    "chunk": (lambda m, x: x.chunk(3, 1), [(2, 7)]),
    "unbind": (lambda m, x: m.unbind(x, 1), [(2, 3)]),
    "select": (lambda m, x: x.select(1, -1), [(2, 3)]),
    "narrow": (lambda m, x: m.narrow(x, 1, 1, 2), [(2, 4)]),
    "narrow negative": (lambda m, x: x.narrow(-1, -2, 2), [(2, 4)]),
    "flip": (lambda m, x: m.flip(x, (0, -1)), [(2, 3, 4)]),
    "roll": (lambda m, x: m.roll(x, 2, 1), [(2, 5)]),
    "roll several": (lambda m, x: m.roll(x, (1, -7), (0, 1)), [(2, 5)]),
    "roll flat": (lambda m, x: m.roll(x, 3), [(2, 5)]),
    "tril": (lambda m, x: m.tril(x, 1), [(2, 4, 4)]),
    "triu": (lambda m, x: m.triu(x, -1), [(3, 5)]),
    "diagonal": (lambda m, x: m.diagonal(x, 1, 0, 2), [(3, 2, 4)]),
    "diagonal far away": (lambda m, x: m.diagonal(x, 9), [(3, 4)]),
    "diag of a matrix": (lambda m, x: m.diag(x, -1), [(3, 4)]),
    "diag of a vector": (lambda m, x: m.diag(x, 1), [(3,)]),
    "repeat_interleave": (lambda m, x: m.repeat_interleave(x, 3, 1), [(2, 3)]),
    "repeat_interleave flat": (lambda m, x: m.repeat_interleave(x, 2), [(2, 3)]),
    "meshgrid": (lambda m, x, y: m.meshgrid(x, y, indexing="ij"), [(2,), (3,)]),
    "meshgrid xy": (lambda m, x, y: m.meshgrid(x, y, indexing="xy"), [(2,), (3,)]),
    "broadcast_tensors": (lambda m, x, y: m.broadcast_tensors(x, y), [(2, 1), (3,)]),
    "as_strided": (lambda m, x: m.as_strided(x.contiguous(), (2, 2), (1, 2), 1), [(6,)]),
    "unfold": (lambda m, x: x.unfold(1, 3, 2), [(2, 7)]),
    "unfold overlapping": (lambda m, x: x.unfold(0, 2, 1), [(4, 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_view_or_move_agrees_with_pytorch(name: str) -> None:
    f, shapes = CASES[name]
    edges = name not in ("diag of a matrix", "as_strided")
    check_op(lambda *a: f(lt, *a), lambda *a: f(torch, *a), shapes, gradgradcheck=True, edges=edges)


@pytest.mark.parametrize("name", CASES)
def test_views_and_moves_work_for_every_dtype(name: str) -> None:
    f, shapes = CASES[name]
    for dtype in ("int64", "uint8", "bool", "float16", "int16"):
        if name == "view" and dtype not in ("int64", "uint8"):
            continue
        arrays = [sample(s, dtype, 0, 5, i) for i, s in enumerate(shapes)]
        assert_same(f(lt, *map(lt.tensor, arrays)), f(torch, *map(torch.tensor, arrays)), what=dtype)


def test_views_share_memory_and_copies_do_not() -> None:
    views = {
        "view": lambda x: x.view(6), "reshape": lambda x: x.reshape(3, 2), "T": lambda x: x.T, "slice": lambda x: x[:, ::2],
        "int": lambda x: x[1], "unsqueeze": lambda x: x.unsqueeze(0), "expand": lambda x: x[0].expand(4, 3),
        "diagonal": lambda x: x.diagonal(), "narrow": lambda x: x.narrow(1, 0, 2), "negative step": lambda x: x[::-1],
        "unfold": lambda x: x.unfold(1, 2, 1), "split": lambda x: x.split(2, 1)[0], "unbind": lambda x: x.unbind()[0],
        "detach": lambda x: x.detach(), "flatten": lambda x: x.flatten(), "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    }  # fmt: skip
    for name, make in views.items():
        x = lt.arange(6.0).reshape(2, 3)
        view = make(x)
        x.fill_(7)
        assert (view == 7).all(), name
    copies = {
        "clone": lambda x: x.clone(),
        "contiguous": lambda x: x.T.contiguous(),
        "flip": lambda x: x.flip(0),
        "list": lambda x: x[[0, 1]],
    }
    for name, make in copies.items():
        x = lt.arange(6.0).reshape(2, 3)
        copy = make(x)
        x.fill_(7)
        assert not (copy == 7).any(), name


def test_strides_and_offsets_are_pytorchs() -> None:
    chains = [
        lambda x: x, lambda x: x.transpose(0, 2), lambda x: x[1:, ::2], lambda x: x[:, 1], lambda x: x.permute(1, 2, 0)[1:],
        lambda x: x.unsqueeze(1), lambda x: x[0].expand(5, 3, 4), lambda x: x.reshape(6, 4), lambda x: x.diagonal(0, 1, 2),
        lambda x: x.unfold(2, 2, 2), lambda x: x.narrow(2, 1, 2), lambda x: x[..., None, :],
    ]  # fmt: skip
    for i, f in enumerate(chains):
        a, b = f(lt.arange(24).reshape(2, 3, 4)), f(torch.arange(24).reshape(2, 3, 4))
        assert (a.stride(), a.storage_offset(), a.is_contiguous()) == (
            b.stride(),
            b.storage_offset(),
            b.is_contiguous(),
        ), i
        assert a.stride(-1) == b.stride(-1)
        assert a.size(0) == b.size(0)


@st.composite
def _chain(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[str, Any]]]:
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    steps, now = [], np.zeros(shape)
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(
            st.sampled_from(["transpose", "slice", "reshape", "unsqueeze", "flip", "expand", "select"])
        )
        argument: Any = None
        if kind == "transpose":
            argument = draw(st.permutations(range(now.ndim)))
        elif kind == "slice" and now.ndim:
            bound = st.none() | st.integers(-5, 5)
            argument = tuple(
                slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, -1, -2])))
                for _ in now.shape
            )
        elif kind == "reshape":
            argument = draw(
                st.sampled_from(
                    [(-1,) if now.size else (0,), (*now.shape, 1), (1, now.size), now.shape[::-1]]
                )
            )
        elif kind == "unsqueeze":
            argument = draw(st.integers(0, now.ndim))
        elif kind == "expand":
            argument = tuple(draw(st.integers(2, 3)) if d == 1 else d for d in now.shape)
        elif kind in ("flip", "select"):
            if not now.ndim or 0 in now.shape:
                continue
            argument = draw(st.integers(0, now.ndim - 1))
        if argument is None or (kind != "slice" and now.ndim > 5):
            continue
        steps.append((kind, argument))
        now = _numpy_step(now, kind, argument)
        if now.size > 4000:
            break
    return shape, steps


def _numpy_step(a: np.ndarray, kind: str, argument: Any) -> np.ndarray:
    return {
        "transpose": lambda: a.transpose(argument), "slice": lambda: a[argument], "reshape": lambda: a.reshape(argument),
        "unsqueeze": lambda: np.expand_dims(a, argument), "flip": lambda: np.flip(a, argument),
        "expand": lambda: np.broadcast_to(a, argument), "select": lambda: a.take(0, argument),
    }[kind]()  # fmt: skip


def _tensor_step(x: Any, kind: str, argument: Any) -> Any:
    return {
        "transpose": lambda: x.permute(*argument), "slice": lambda: x[argument], "reshape": lambda: x.reshape(*argument),
        "unsqueeze": lambda: x.unsqueeze(argument), "flip": lambda: x.flip(argument),
        "expand": lambda: x.expand(*argument), "select": lambda: x.select(argument, 0),
    }[kind]()  # fmt: skip


@given(_chain())
def test_any_chain_of_views_is_numpys_and_gives_each_element_its_gradient(case: Any) -> None:
    shape, steps = case
    a = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)
    x = lt.tensor(a, requires_grad=True)
    want, got = a, x
    for kind, argument in steps:
        want, got = _numpy_step(want, kind, argument), _tensor_step(got, kind, argument)
        assert got.shape == want.shape
    np.testing.assert_array_equal(got.detach().numpy(), want)
    assert got.contiguous().is_contiguous()
    if steps:
        got.sum().backward()
        counts = np.bincount(want.astype(int).reshape(-1), minlength=a.size).reshape(shape)
        np.testing.assert_array_equal(x.grad.numpy(), counts)


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: lt.ones(6).reshape(4, 2), lt.ShapeError, "reshape"),
    (lambda: lt.ones(6).reshape(-1, -1), ValueError, "reshape"),
    (lambda: lt.ones(6).reshape(-1, 4), lt.ShapeError, "reshape"),
    (lambda: lt.ones(6).reshape(-2, 3), ValueError, "reshape"),
    (lambda: lt.ones(0).reshape(-1, 0), ValueError, "reshape"),
    (lambda: lt.ones(2, 3).T.view(6), lt.ShapeError, "view.*reshape"),
    (lambda: lt.ones(2, 3).permute(0), (ValueError, RuntimeError), "permute"),
    (lambda: lt.ones(2, 3).permute(0, 0), (ValueError, RuntimeError), "permute"),
    (lambda: lt.ones(2, 3).permute(0, 2), IndexError, "permute"),
    (lambda: lt.ones(2, 3).transpose(0, 2), IndexError, "transpose"),
    (lambda: lt.ones(2, 3).unsqueeze(4), IndexError, "unsqueeze"),
    (lambda: lt.ones(2, 3).squeeze(2), IndexError, "squeeze"),
    (lambda: lt.ones(2, 3).expand(4, 3), lt.ShapeError, "expand"),
    (lambda: lt.ones(2, 3).expand(3), lt.ShapeError, "expand"),
    (lambda: lt.ones(2, 3).expand(-1, -1, 3), ValueError, "expand"),
    (lambda: lt.ones(3).expand(2**40, 2**40, 3), (ValueError, RuntimeError, MemoryError), "expand"),
    (lambda: lt.cat([]), ValueError, "cat"),
    (lambda: lt.cat([lt.ones(2, 3), lt.ones(3, 3)], 1), lt.ShapeError, "cat"),
    (lambda: lt.cat([lt.ones(2, 3), lt.ones(2)], 0), lt.ShapeError, "cat"),
    (lambda: lt.cat([lt.ones(2)], 1), IndexError, "cat"),
    (lambda: lt.stack([lt.ones(2), lt.ones(3)]), lt.ShapeError, "stack"),
    (lambda: lt.stack([]), ValueError, "stack"),
    (lambda: lt.stack([lt.ones(2)], 3), IndexError, "stack: axis 3 is out of range, expected -2 to 1"),
    (lambda: lt.stack([lt.ones(2)], 0.0), TypeError, "stack: dim must be an int, got 0.0"),
    (lambda: lt.cat([lt.ones(2), 3.0]), TypeError, "Tensor"),
    (lambda: lt.ones(4).split(-1), ValueError, "split"),
    (lambda: lt.ones(4).split([1, 2]), ValueError, "split"),
    (lambda: lt.ones(4).split(2, 1), IndexError, "split"),
    (lambda: lt.ones(4).chunk(0), ValueError, "chunk"),
    (lambda: lt.ones(4).narrow(0, 3, 2), IndexError, "narrow"),
    (lambda: lt.ones(4).narrow(0, 0, -1), (IndexError, ValueError), "narrow"),
    (lambda: lt.ones(4).select(0, 4), IndexError, "4"),
    (lambda: lt.ones(4).flip(1), IndexError, "flip"),
    (lambda: lt.ones(2, 2).flip((0, 0)), (ValueError, RuntimeError), "flip"),
    (lambda: lt.ones(4).roll(1, 1), IndexError, "roll"),
    (lambda: lt.ones(4).roll((1, 2), (0,)), (ValueError, RuntimeError), "roll"),
    (lambda: lt.ones(4).tril(), (ValueError, RuntimeError), "tril"),
    (lambda: lt.ones(4).diagonal(), (IndexError, ValueError), "diagonal"),
    (lambda: lt.ones(2, 2).diagonal(0, 1, 1), (ValueError, RuntimeError), "diagonal"),
    (lambda: lt.ones(2, 2, 2).diag(), lt.ShapeError, "diag"),
    (lambda: lt.ones(2, 2, 2).t(), lt.ShapeError, "^t:"),
    (lambda: lt.ones(4).unfold(0, 5, 1), (ValueError, RuntimeError, IndexError), "unfold"),
    (lambda: lt.ones(4).unfold(0, 2, 0), (ValueError, RuntimeError), "unfold"),
    (lambda: lt.ones(4).unfold(0, -1, 1), ValueError, "unfold"),
    (lambda: lt.ones(4).as_strided((2, 9), (1, 1)), (ValueError, RuntimeError), "as_strided"),
    (lambda: lt.ones(4).as_strided((2,), (1, 1)), ValueError, "as_strided"),
    (
        lambda: lt.ones(4).as_strided((2**62, 4), (2**62, 1)),
        (ValueError, RuntimeError, MemoryError),
        "as_strided",
    ),
    (lambda: lt.ones(4).as_strided((-1,), (1,)), ValueError, "as_strided"),
    (lambda: lt.ones(4).repeat(), ValueError, "repeat"),
    (lambda: lt.ones(4).repeat(-1), ValueError, "repeat"),
    (lambda: lt.ones(4).repeat(2**62), MemoryError, "more elements than memory can address"),
    (lambda: lt.ones(4).repeat_interleave(-1), ValueError, "repeat_interleave"),
    (lambda: lt.ones(4).unflatten(0, (3, 2)), lt.ShapeError, "unflatten"),
    (lambda: lt.ones(4).flatten(1), IndexError, "flatten"),
    (lambda: lt.ones(2, 2).flatten(1, 0), ValueError, "flatten"),
    (lambda: lt.ones(2, 3).movedim(0, 5), IndexError, "movedim"),
    (lambda: lt.ones(2, 3).movedim((0, 1), 0), ValueError, "movedim"),
    (lambda: lt.ones(2, 3).movedim((0, 0), (0, 1)), (ValueError, RuntimeError), "movedim"),
    (lambda: lt.meshgrid(lt.ones(2), indexing="zz"), ValueError, "meshgrid"),
    (lambda: lt.broadcast_shapes((2, 3), (4,)), lt.ShapeError, "broadcast_shapes"),
    (lambda: lt.ones(2).reshape("2"), TypeError, "reshape"),
    (lambda: lt.ones(2).reshape(1.5), TypeError, "reshape"),
    (lambda: lt.ones(2).view(lt.int32), TypeError, "view"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_a_wrong_shape_or_axis_is_an_error_that_names_the_operation(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_slices_join_their_gradients_and_unused_ones_count_as_zeros(dim: int) -> None:
    x = lt.randn(3, 4, 2, dtype=lt.float64).requires_grad_()

    def some(x: lt.Tensor) -> lt.Tensor:
        first, *_, last = x.unbind(dim)
        return (first * first * last).sum() + first.sum()

    assert lt.autograd.gradcheck(some, (x,))
    assert lt.autograd.gradgradcheck(some, (x,))
    (g,) = lt.autograd.grad(sum(s.sum() for s in list(x.unbind(dim))[1:]), x)
    assert not bool(g.select(dim, 0).any())
    assert bool((g.narrow(dim, 1, x.shape[dim] - 1) == 1).all())


def test_a_slice_that_is_changed_in_place_changes_the_whole_and_its_gradient() -> None:
    x = lt.ones(3, 2, requires_grad=True)
    whole = x * 2
    whole.unbind()[1].mul_(5)
    assert whole.tolist() == [[2, 2], [10, 10], [2, 2]]
    whole.sum().backward()
    assert x.grad.tolist() == [[2, 2], [10, 10], [2, 2]]
