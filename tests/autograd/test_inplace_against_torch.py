"""Random programs of views, in-place changes and ordinary operations, run here and in PyTorch.

Both libraries must agree: on the values, on the gradients, or on refusing. Where PyTorch refuses because a
saved value changed and we kept a copy of it, our gradients must be those PyTorch gets with copies.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lectorium as lt

torch = pytest.importorskip("torch", reason="parity needs torch")

Pool = list[Any]
Step = Callable[[Any, Pool], None]


def views(r: random.Random, shape: tuple[int, ...]) -> list[Callable[[Any], Any]]:
    """Views that a tensor of this shape has."""
    n = len(shape)
    found: list[Callable[[Any], Any]] = [lambda t: t.unsqueeze(0), lambda t: t.reshape(-1), lambda t: t[...]]
    if n < 3:
        found.append(lambda t: t.expand(2, *shape))
    if n:
        axis = r.randrange(n)
        size = shape[axis]
        found.append(lambda t: t.select(axis, r_index))
        r_index = r.randrange(size)
        start = r.randrange(size)
        found.append(lambda t: t.narrow(axis, start, size - start))
        step = r.choice([1, 2])
        found.append(lambda t: t[start::step])
        start0 = r.randrange(shape[0])
        found[-1] = lambda t: t[start0::step]
        found.append(lambda t: t[r_last])
        r_last = r.choice([-1, 0])
    if n >= 2:
        a, b = r.sample(range(n), 2)
        found += [lambda t: t.transpose(a, b), lambda t: t.diagonal(0, a, b)]
        order = r.sample(range(n), n)
        found.append(lambda t: t.permute(*order))
    if 1 in shape:
        found.append(lambda t: t.squeeze())
    return found


def fitting(r: random.Random, shapes: list[tuple[int, ...]], shape: tuple[int, ...]) -> list[int]:
    """Which tensors broadcast to a shape."""
    return [
        i
        for i, s in enumerate(shapes)
        if len(s) <= len(shape) and all(d in (1, e) for d, e in zip(s[::-1], shape[::-1], strict=False))
    ]


def make_step(
    r: random.Random, shapes: list[tuple[int, ...]], memory: list[int], bad: set[int]
) -> tuple[str, Step]:
    """A random step for a pool of tensors of these shapes and storages; those in ``bad`` refuse changes."""
    i = r.randrange(len(shapes))
    shape = shapes[i]
    kind = r.choices(["view", "inplace", "out"], [4, 4, 3])[0]
    if kind == "view":
        view = r.choice(views(r, shape))
        return f"view of {i}", lambda lib, p: p.append(view(p[i]))
    j = r.choice(fitting(r, shapes, shape))
    number = r.choice([0.5, -0.7, 1.3])
    if kind == "out":
        name, out = r.choice([
            ("add", lambda lib, p: p[i] + p[j]), ("mul", lambda lib, p: p[i] * p[j]), ("sin", lambda lib, p: p[i].sin()),
            ("sigmoid", lambda lib, p: p[i].sigmoid()), ("clone", lambda lib, p: p[i].clone()), ("scale", lambda lib, p: p[i] * number),
            ("sum", lambda lib, p: p[i].sum(-1) if p[i].ndim else p[i].sum()), ("tanh", lambda lib, p: p[i].tanh()),
            ("detach", lambda lib, p: p[i].detach()), ("square", lambda lib, p: p[i] ** 2), ("sub", lambda lib, p: p[j] - p[i]),
        ])  # fmt: skip
        return f"{name} {i} {j}", lambda lib, p: p.append(out(lib, p))
    quiet = r.random() < 0.08
    if r.random() < 0.95:  # most programs should get past leaves, which refuse, and expanded views
        good = [k for k in range(len(shapes)) if k not in bad]
        i = r.choice(good)
        shape = shapes[i]
        j = r.choice(fitting(r, shapes, shape))
    where = r.randrange(shape[0]) if shape else 0
    name, change = r.choice([
        ("add_", lambda lib, t, o: t.add_(o)), ("mul_", lambda lib, t, o: t.mul_(o)), ("copy_", lambda lib, t, o: t.copy_(o)),
        ("zero_", lambda lib, t, o: t.zero_()), ("sin_", lambda lib, t, o: t.sin_()), ("tanh_", lambda lib, t, o: t.tanh_()),
        ("sigmoid_", lambda lib, t, o: t.sigmoid_()), ("fill_", lambda lib, t, o: t.fill_(number)), ("sub_", lambda lib, t, o: t.sub_(o, alpha=2)),
        ("mul_ number", lambda lib, t, o: t.mul_(number)), ("add_ number", lambda lib, t, o: t.add_(number)), ("neg_", lambda lib, t, o: t.neg_()),
        ("exp_", lambda lib, t, o: t.tanh_().exp_()), ("clamp_", lambda lib, t, o: t.clamp_(-0.5, 0.5)), ("relu_", lambda lib, t, o: t.relu_()),
        ("masked_fill_", lambda lib, t, o: t.masked_fill_(t.detach() > 0.1, number)), ("pow_", lambda lib, t, o: t.pow_(2)),
        ("set all", lambda lib, t, o: t.__setitem__(..., o)),
        ("set mask", lambda lib, t, o: t.__setitem__(t.detach() > 0, number)),
        ("set row", lambda lib, t, o: t.__setitem__(where, number) if t.ndim else t.add_(1)),
        ("set rows", lambda lib, t, o: t.__setitem__(slice(where, None), o[where:].clone() if o.shape == t.shape else o) if t.ndim else t.add_(o)),
        ("set list", lambda lib, t, o: t.__setitem__([where], o[where].clone() if o.shape == t.shape else o) if t.ndim else t.add_(o)),
        ("iadd row", lambda lib, t, o: t[where].add_(number) if t.ndim else t.add_(1)),
        ("div_", lambda lib, t, o: t.div_(o.detach() * o.detach() + 1.5)),
        ("addcmul_", lambda lib, t, o: t.addcmul_(o, o, value=number)), ("lerp_", lambda lib, t, o: t.lerp_(o.expand(t.shape), 0.3)),
    ])  # fmt: skip

    def step(lib: Any, p: Pool) -> None:
        with lib.no_grad() if quiet else contextlib.nullcontext():
            # A source within the target's own memory is undefined in PyTorch.
            change(lib, p[i], p[j].clone() if memory[i] == memory[j] and i != j else p[j])

    return f"{name} {i} {j}{' quiet' if quiet else ''}", step


def make_program(seed: int, steps: int = 10) -> tuple[list[str], list[Step]]:
    r = random.Random(seed)
    names, program = [], []
    leaves, pool = start(torch)
    owned = {t.untyped_storage().data_ptr() for t in leaves}
    for _ in range(steps):
        shapes = [tuple(t.shape) for t in pool]
        memory = [t.untyped_storage().data_ptr() for t in pool]
        bad = {i for i, t in enumerate(pool) if memory[i] in owned or 0 in t.stride()}
        name, step = make_step(r, shapes, memory, bad)
        try:
            # Shapes only: on plain tensors nothing is refused but writes to expanded views.
            with torch.no_grad():
                step(torch, pool)
        except RuntimeError:
            names.append(name)
            program.append(step)
            break
        if pool[-1].numel() > 200:
            break
        names.append(name)
        program.append(step)
    return names, program


def start(lib: Any) -> tuple[list[Any], Pool]:
    draw = np.random.RandomState(0)

    def tensor(*shape: int) -> Any:
        return lib.tensor(draw.randn(*shape), dtype=lib.float64)

    leaves = [tensor(3, 4).requires_grad_(), tensor(2, 3, 2).requires_grad_(), tensor(4).requires_grad_()]
    return leaves, [leaves[0] * 1.1, leaves[1].sin(), tensor(3, 4), leaves[2], leaves[0]]


def run(lib: Any, program: list[Step], outputs: random.Random) -> tuple[str, Any]:
    """What happens: ("refused", step) or ("values", values and gradients)."""
    leaves, pool = start(lib)
    at = 0
    try:
        for at, step in enumerate(program):  # noqa: B007 - told when it fails
            for t in pool:
                assert t.grad_fn is None or not t.is_leaf  # asking brings PyTorch's views up to date
            step(lib, pool)
        values = [t.detach().numpy().copy() for t in pool]
        chosen = [t for t in pool if outputs.random() < 0.7 and t.requires_grad]
        if not chosen:
            return "values", (values, [])
        loss = sum((t * (i + 1.0)).sum() for i, t in enumerate(chosen))
        at = len(program)
        grads = list(lib.autograd.grad(loss, leaves, allow_unused=True, create_graph=True))
        bent = sum((g * g).sum() for g in grads if g is not None and g.requires_grad)
        if isinstance(bent, lib.Tensor) and bent.requires_grad:
            grads += lib.autograd.grad(bent, leaves, allow_unused=True)
    except RuntimeError as error:
        return "refused", (at, str(error))
    return "values", (values, [None if g is None else g.detach().numpy().copy() for g in grads])


def compare(seed: int) -> str:
    names, program = make_program(seed)
    kind, ours = run(lt, program, random.Random(seed))
    their_kind, theirs = run(torch, program, random.Random(seed))
    story = f"program {seed}: {names}"
    if kind == "refused" and "share one memory location" in ours[1]:
        return "both refuse"  # PyTorch lets expanded views be filled, though nothing else
    if kind == "refused":
        assert their_kind == "refused", f"{story}\nrefused here at step {ours[0]}: {ours[1]}"
        return "both refuse"
    outcome = "agree"
    if their_kind == "refused":
        assert "modified by an inplace operation" in theirs[1], (
            f"{story}\nPyTorch refuses at step {theirs[0]}: {theirs[1]}"
        )
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
            their_kind, theirs = run(torch, program, random.Random(seed))
        assert their_kind == "values", f"{story}\n{theirs}"
        outcome = "more than PyTorch"
    for i, (a, b) in enumerate(zip(ours[0], theirs[0], strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"{story}\nvalue {i}")
    for i, (a, b) in enumerate(itertools.zip_longest(ours[1], theirs[1])):
        # No gradient and a gradient of zeros mean the same.
        a, b = 0.0 if a is None else a, 0.0 if b is None else b
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8, err_msg=f"{story}\ngradient {i}")
    return outcome


@pytest.mark.parametrize("block", range(8))
def test_random_programs_agree_with_pytorch(block: int) -> None:
    seen = [compare(seed) for seed in range(block * 100, block * 100 + 100)]
    assert seen.count("agree") > 25, seen
