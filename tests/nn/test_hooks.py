"""Hooks on modules, held against PyTorch where it is there."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample
from lectorium import nn


def test_forward_hooks_see_and_replace_arguments_and_output() -> None:
    layer, seen = nn.ReLU(), []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] - 1,))
    after = layer.register_forward_hook(lambda m, args, out: seen.append((args[0].item(), out.item())))
    double = layer.register_forward_hook(lambda m, args, out: out * 2)
    assert layer(lt.tensor(3.0)).item() == 4.0
    assert seen == [(2.0, 2.0)]
    for handle in (before, after, double, double):
        handle.remove()
    assert layer(lt.tensor(3.0)).item() == 3.0
    assert len(seen) == 1


def test_hooks_with_keyword_arguments_and_order() -> None:
    class Scale(nn.Module):
        def forward(self, x: Any, factor: float = 1.0) -> Any:
            return x * factor

    layer, order = Scale(), []
    layer.register_forward_pre_hook(lambda m, a, k: (a, {"factor": k["factor"] + 1}), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, out: order.append(("second", k["factor"])), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, out: order.append(("first", out)), prepend=True)
    assert layer(2.0, factor=3.0) == 8.0
    assert order == [("first", 8.0), ("second", 4.0)]
    bad = Scale()
    bad.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"must return None or \(args, kwargs\)"):
        bad(1.0)


def test_a_hook_that_is_always_called_runs_after_an_error_too() -> None:
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(lt.ShapeError):
        layer(lt.zeros(1, 3))
    assert seen == [None]


def test_a_handle_works_as_a_context_and_outlives_its_module() -> None:
    layer, seen = nn.ReLU(), []
    with layer.register_forward_hook(lambda m, a, out: seen.append(1)):
        layer(lt.zeros(1))
    layer(lt.zeros(1))
    assert seen == [1]
    handle = layer.register_forward_hook(lambda m, a, out: None)
    del layer
    handle.remove()


def record(module: Any, x: Any, library: Any) -> list[Any]:
    """What a full backward hook and pre-hook on the middle layer are given."""
    seen: list[Any] = []
    grab = lambda gs: [None if g is None else g.numpy().copy() for g in gs]  # noqa: E731
    module[1].register_full_backward_pre_hook(lambda m, out: seen.append(("pre", grab(out))))
    module[1].register_full_backward_hook(lambda m, inp, out: seen.append(("full", grab(inp), grab(out))))
    module(x).sum().backward()
    return seen


def test_full_backward_hooks_see_the_gradients_that_torch_shows() -> None:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    a = sample((3, 4), "float64")
    ours = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)).double()
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    got, want = record(ours, lt.from_numpy(a), lt), record(theirs, torch.from_numpy(a), torch)
    assert [g[0] for g in got] == [w[0] for w in want] == ["pre", "full"]
    for g, w in zip(got, want, strict=True):
        for mine, other in zip(g[1:], w[1:], strict=True):
            np.testing.assert_allclose(mine[0], other[0], rtol=1e-12)


def test_a_full_backward_hook_can_change_the_gradient_and_knows_inputs_without_one() -> None:
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda m, inp, out: (inp[0] * 10,))
    x = lt.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == (layer.weight.detach() * 10).tolist()

    seen: list[Any] = []
    first = nn.Linear(2, 1)
    first.register_full_backward_hook(lambda m, inp, out: seen.append((inp, out[0].tolist())))
    first(lt.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]
    assert first.weight.grad is not None

    wrong = nn.Linear(2, 1)
    wrong.register_full_backward_hook(lambda m, inp, out: (1, 2, 3))
    with pytest.raises(RuntimeError, match="returned 3 gradients, expected 1"):
        wrong(lt.ones(1, 2, requires_grad=True)).sum().backward()


def test_a_module_with_hooks_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        layer = nn.Linear(2, 2)
        layer.register_full_backward_hook(lambda m, inp, out: None)
        layer.register_forward_hook(lambda m, a, out: None)
        layer(lt.ones(1, 2, requires_grad=True)).sum().backward()
        gone = weakref.ref(layer)
        del layer
        assert gone() is None
    finally:
        gc.enable()
