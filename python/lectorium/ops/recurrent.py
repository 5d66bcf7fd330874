"""A recurrent layer over a whole sequence, in one direction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from .. import _core
from ..autograd.composite import composite_gradients
from ..autograd.tape import op
from .cells import STEPS, split

HALF = (_core.float16, _core.bfloat16)


def sequence(
    kind: str,
    x: Any,
    state: tuple[Any, ...],
    weights: tuple[Any, ...],
    batch_sizes: Sequence[int] | None = None,
    reverse: bool = False,
) -> tuple[Any, ...]:
    """One layer of a kind of ``cells.STEPS`` over all steps: the outputs, then the final states.

    ``x``: the input's part of the gates, ``[T, B, G*H]``; with ``batch_sizes`` (falling) the packed rows
    ``[sum(batch_sizes), G*H]`` of sequences of several lengths, and the outputs are packed likewise.
    ``reverse``: from the last step to the first; a packed sequence joins when its own last step comes.
    """
    # A recorder sees the small operations.
    fits = x.is_cpu and not _core.recording()
    if fits and x.dtype in HALF:
        return _in_float32(kind, x, state, weights, batch_sizes, reverse)
    # PyTorch takes an empty batch, and so does the composite; no steps at all are the kernel's to refuse.
    if fits and (x.numel() > 0 or (batch_sizes is None and x.shape[0] == 0)):
        if not _core.is_grad_enabled():
            y, _, *final = _core.recurrent(kind, x, state, weights, batch_sizes, reverse, False)
            return (y, *final)
        return _fused(kind, len(state))((len(state), batch_sizes, reverse), x, *state, *weights)
    return composite(_ops(), kind, x, state, weights, batch_sizes, reverse)


def _in_float32(
    kind: str,
    x: Any,
    state: tuple[Any, ...],
    weights: tuple[Any, ...],
    batch_sizes: Sequence[int] | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """``sequence`` of half precision: all steps in float32, the results rounded once."""
    k, dtype = _ops() if _core.is_grad_enabled() else _core, x.dtype

    def wide(t: Any) -> Any:
        if t is None:
            return None
        if t.dtype is not dtype:
            raise TypeError(
                f"{kind}: a state or a weight is {t.dtype.name}, expected {dtype.name} as the input; "
                "convert one with .to()"
            )
        return k.cast(t, _core.float32)

    wide_state, wide_weights = tuple(map(wide, state)), tuple(map(wide, weights))
    results = sequence(kind, wide(x), wide_state, wide_weights, batch_sizes, reverse)
    return tuple([k.cast(t, dtype) for t in results])


def _ops() -> Any:
    from .. import ops

    return ops


@functools.cache
def _fused(kind: str, states: int) -> Any:
    """The operation of a kind: one kernel forward, one back through time.

    Under ``create_graph`` the composite runs in their place, and is differentiated.
    """

    def forward(k: Any, spec: Any, x: Any, *rest: Any) -> Any:
        n, sizes, reverse = spec
        y, kept, *state = k.recurrent(
            kind, x, rest[:n], rest[n:], sizes, reverse, _core.needs_grad((x, *rest))
        )
        return (y, *state), (spec, y, kept, x, *rest)

    recorded = op(outputs=1 + states, name=kind)(forward)

    def vjp(k: Any, g: Any, saved: Any, need: Any) -> Any:
        spec, y, kept, x, *rest = saved
        n, sizes, reverse = spec
        if k is not _core:

            def steps(x: Any, *rest: Any) -> tuple[Any, ...]:
                return composite(k, kind, x, rest[:n], rest[n:], sizes, reverse)

            return None, *composite_gradients(steps, (x, *rest), g, need[1:])
        grads = k.recurrent_grad(kind, x, rest[:n], rest[n:], sizes, reverse, y, kept, g, need[1:])
        return None, *grads

    recorded.vjp(vjp)
    return recorded


def composite(
    k: Any,
    kind: str,
    x: Any,
    state: tuple[Any, ...],
    weights: tuple[Any, ...],
    batch_sizes: Sequence[int] | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """``sequence`` as a loop over the steps of ``cells``."""
    step = STEPS[kind]
    dense = batch_sizes is None
    sizes = [x.shape[1]] * x.shape[0] if batch_sizes is None else list(batch_sizes)
    rows = split(k, k.reshape(x, [sum(sizes), x.shape[-1]]), sizes, 0)
    initial = state
    ended: list[tuple[Any, ...]] = []
    if reverse:
        state = _rows(k, initial, 0, sizes[-1])
    outputs: list[Any] = []
    for t in range(len(sizes) - 1, -1, -1) if reverse else range(len(sizes)):
        have, want = state[0].shape[0], sizes[t]
        if want < have:
            ended.append(_rows(k, state, want, have - want))
            state = _rows(k, state, 0, want)
        elif want > have:
            state = _joined(k, state, [_rows(k, initial, have, want - have)])
        y, state = step(k, rows[t], state, weights)
        outputs.append(y)
    y = k.cat(outputs[::-1] if reverse else outputs, 0)
    if dense:
        y = k.reshape(y, [len(sizes), sizes[0], y.shape[-1]])
    return (y, *_joined(k, state, ended[::-1]))


def _rows(k: Any, state: tuple[Any, ...], start: int, length: int) -> tuple[Any, ...]:
    if (start, length) == (0, state[0].shape[0]):
        return state
    return tuple(k.narrow(s, 0, start, length) for s in state)


def _joined(k: Any, state: tuple[Any, ...], more: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(k.cat(list(s), 0) for s in zip(state, *more, strict=True)) if more else state
