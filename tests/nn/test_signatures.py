"""Constructors and functions take PyTorch's arguments, in its order, with its defaults."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import pytest

import lectorium as lt

torch = pytest.importorskip("torch", reason="parity needs torch")

# What PyTorch lacks.
OURS = {
    "AdditiveAttention", "batch_norm_relu", "CRF", "conv2d_relu", "CTCHypothesis", "ctc_beam_decode",
    "ctc_greedy_decode", "linear_relu", "MultiplicativeAttention", "ScaledDotProductAttention",
    "ConcatLSTM", "ConcatLSTMCell", "LayerNormLSTM", "LayerNormLSTMCell", "PeepholeLSTM", "PeepholeLSTMCell",
    "MUT1", "MUT1Cell", "MUT2", "MUT2Cell", "MUT3", "MUT3Cell",
    "ResidualRNN", "ResidualRNNCell", "SkipRNN", "SkipRNNCell",
    "Bidirectional", "ChildSumTreeLSTM", "RecursiveNN", "TreeBatch", "TreeLSTM",
}  # fmt: skip
# Deprecated in PyTorch, or for writing into a given tensor.
LEFT_OUT = {"Hardtanh": {"min_value", "max_value"}, "normalize": {"out"}}
# What layers of ours take beside PyTorch's arguments, by keyword.
ADDED = {
    "RNNCell": {"learn_initial_state"},
    "LSTMCell": {"learn_initial_state"},
    "GRUCell": {"learn_initial_state", "reset_after"},
}


def arguments(function: Any) -> list[tuple[str, Any]] | None:
    """Names and defaults; None where PyTorch has no Python signature or only passes everything on."""
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in found):
        return None
    return [(p.name, p.default) for p in found]


def comparable(names: Iterable[str], room: Any) -> list[str]:
    return [n for n in names if arguments(getattr(room, n)) is not None]


def wanted(room: Any, name: str) -> list[tuple[str, Any]]:
    return [a for a in arguments(getattr(room, name)) or [] if a[0] not in LEFT_OUT.get(name, ())]


def ours(name: str) -> list[tuple[str, Any]]:
    return [a for a in arguments(getattr(lt.nn, name)) or [] if a[0] not in ADDED.get(name, ())]


CLASSES = comparable(
    [n for n in lt.nn.__all__ if inspect.isclass(getattr(lt.nn, n)) and n not in OURS], torch.nn
)
FUNCTIONS = comparable([n for n in lt.nn.functional.__all__ if n not in OURS], torch.nn.functional)
INITIALISERS = [n for n in dir(lt.nn.init) if n.endswith("_") and not n.startswith("_")]
METHODS = [
    "parameters", "named_parameters", "buffers", "named_buffers", "children", "named_children", "modules",
    "named_modules", "load_state_dict", "register_forward_hook", "register_forward_pre_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "zero_grad", "train", "eval", "apply",
    "register_buffer", "register_parameter", "add_module", "get_submodule", "get_parameter", "get_buffer",
    "set_submodule", "requires_grad_",
]  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_a_layer_takes_the_arguments_of_torch(name: str) -> None:
    assert ours(name) == wanted(torch.nn, name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_the_arguments_of_torch(name: str) -> None:
    assert arguments(getattr(lt.nn.functional, name)) == wanted(torch.nn.functional, name)


@pytest.mark.parametrize("name", INITIALISERS)
def test_an_initialiser_takes_the_arguments_of_torch(name: str) -> None:
    assert arguments(getattr(lt.nn.init, name)) == wanted(torch.nn.init, name)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_module_takes_the_arguments_of_torch(name: str) -> None:
    assert arguments(getattr(lt.nn.Module, name)) == wanted(torch.nn.Module, name)
