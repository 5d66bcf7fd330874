"""Constructors and functions take PyTorch's arguments, in its order, with its defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import lectorium as lt

torch = pytest.importorskip("torch", reason="parity needs torch")

CLASSES = [n for n in lt.nn.__all__ if inspect.isclass(getattr(lt.nn, n))]
# Deprecated in PyTorch, or for writing into a given tensor.
LEFT_OUT = {"Hardtanh": {"min_value", "max_value"}, "normalize": {"out"}}


def arguments(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults; skips what PyTorch only forwards or implements without a Python signature."""
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        pytest.skip("PyTorch tells no signature")
    if any(p.kind is p.VAR_POSITIONAL for p in found):
        pytest.skip("PyTorch takes anything and passes it on")
    return [(p.name, p.default) for p in found]


@pytest.mark.parametrize("name", CLASSES)
def test_a_layer_takes_the_arguments_of_torch(name: str) -> None:
    want = arguments(getattr(torch.nn, name))
    want = [a for a in want if a[0] not in LEFT_OUT.get(name, ())]
    assert arguments(getattr(lt.nn, name)) == want


@pytest.mark.parametrize("name", lt.nn.functional.__all__)
def test_a_function_takes_the_arguments_of_torch(name: str) -> None:
    want = arguments(getattr(torch.nn.functional, name))
    want = [a for a in want if a[0] not in LEFT_OUT.get(name, ())]
    assert arguments(getattr(lt.nn.functional, name)) == want


@pytest.mark.parametrize("name", [n for n in dir(lt.nn.init) if n.endswith("_") and not n.startswith("_")])
def test_an_initialiser_takes_the_arguments_of_torch(name: str) -> None:
    assert arguments(getattr(lt.nn.init, name)) == arguments(getattr(torch.nn.init, name))


METHODS = [
    "parameters", "named_parameters", "buffers", "named_buffers", "children", "named_children", "modules",
    "named_modules", "load_state_dict", "register_forward_hook", "register_forward_pre_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "zero_grad", "train", "eval", "apply",
    "register_buffer", "register_parameter", "add_module", "get_submodule", "get_parameter", "get_buffer",
    "set_submodule", "requires_grad_",
]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_module_takes_the_arguments_of_torch(name: str) -> None:
    assert arguments(getattr(lt.nn.Module, name)) == arguments(getattr(torch.nn.Module, name))
