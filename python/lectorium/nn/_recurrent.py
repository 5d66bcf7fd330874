"""The base of recurrent layers and cells, and that of cells.

A kind of cell is a ``Form``: its parameters, its states, and how the input's part of the gates is made for
all steps at once. A layer runs ``ops.sequence`` on that for each layer and direction, a cell takes one step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import _core, creation, ops
from .._checks import tensor_of
from .._core import Tensor, dtype as DType
from . import init
from ._make import parameter, size
from .module import Module

ShapeError = _core.ShapeError
Shapes = dict[str, tuple[int, ...]]
States = tuple[Tensor, ...]
FUSED = (_core.float32, _core.float64)


def namespace() -> Any:
    """Operations, or where nothing is recorded the kernels: a step is little more than its calls."""
    return ops if _core.is_grad_enabled() or _core.recording() else _core


class Form(Module):
    """What the layer and the cell of one kind have in common."""

    # The kind of step, for ``ops.sequence``.
    kind: str
    # The parameters in the order in which `_prepare` takes them.
    slots: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gates = 1
    # Whether `_prepare` is one linear map by the slots' first four; a compiled layer then makes it too.
    one_map = True
    # What the axes of a state before the last are, the batch last.
    _lead: tuple[str, ...]

    def _shapes(self, inputs: int) -> Shapes:
        """The shapes of the parameters of one layer and direction; by default PyTorch's four."""
        n = self.gates * self.hidden_size
        weights = {"weight_ih": (n, inputs), "weight_hh": (n, self.hidden_size)}
        return {**weights, "bias_ih": (n,), "bias_hh": (n,)} if self.bias else weights

    def _state_sizes(self) -> dict[str, int]:
        """The sizes of the states by name; the first is the output."""
        return {"h": self.hidden_size}

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """The input's part of the gates, and the weights for ``ops.sequence``; parameters by ``slots``.

        ``k``: the namespace of operations, or where nothing is recorded that of kernels.
        """
        w_ih, w_hh, b_ih, b_hh = w
        return k.linear(x, w_ih, b_ih if b_hh is None else k.add(b_ih, b_hh)), (w_hh,)

    def _direct(self, k: Any, x: Any) -> bool:
        """Whether nothing is recorded and the compiled layer takes the input."""
        return k is _core and self.one_map and x.dtype in FUSED and x.is_cpu and x.numel() > 0

    def _through(
        self, k: Any, x: Any, state: States, w: tuple[Any, ...], sizes: list[int] | None, reverse: bool
    ) -> tuple[Any, ...]:
        """One layer in one direction: the output and the final states."""
        if self._direct(k, x):
            return _core.recurrent_layer(self.kind, x, state, w, sizes, reverse)
        gates, weights = self._prepare(k, x, w)
        return ops.sequence(self.kind, gates, state, weights, sizes, reverse)

    def _set_sizes(self, input_size: Any, hidden_size: Any, bias: Any, learn_initial_state: Any) -> None:
        name = type(self).__name__
        if isinstance(hidden_size, (tuple, list)):
            raise TypeError(
                f"{name}: hidden_size must be one int, the same in all layers, got {hidden_size!r}; "
                "make one module for each size"
            )
        self.input_size = size(name, "input_size", input_size)
        self.hidden_size = size(name, "hidden_size", hidden_size)
        self.bias = flag(name, "bias", bias)
        self.learn_initial_state = flag(name, "learn_initial_state", learn_initial_state)
        self._states = self._state_sizes()
        self._sizes = tuple(self._states.values())

    def reset_parameters(self) -> None:
        """Draws the weights anew, uniform in ±1 / sqrt(hidden_size); learned initial states become 0."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, p in self._parameters.items():
            if p is not None:
                self._reset(name, p, bound)

    def _reset(self, name: str, p: Tensor, bound: float) -> None:
        if name.startswith("initial_"):
            init.zeros_(p)
        else:
            init.uniform_(p, -bound, bound)

    def _weights(self, names: tuple[str, ...]) -> tuple[Any, ...]:
        """The parameters of one layer and direction, None where there is none."""
        p, own, buffers = self._parameters, self.__dict__, self._buffers
        # With weight dropout and the like a tensor that is no parameter has come in a deleted one's place.
        return tuple([p[n] if n in p else own.get(n, buffers.get(n)) for n in names])

    def _check_dtype(self, x: Tensor, name: str) -> None:
        """The input has the type of the weights, of which this is one."""
        weight = self._parameters.get(name)
        if weight is not None and x.dtype is not weight.dtype:
            raise TypeError(
                f"{type(self).__name__}: the input is {x.dtype.name} and the weights {weight.dtype.name}; "
                "convert one of them with .to(dtype)"
            )

    def _initial(self, k: Any, hx: Any, lead: tuple[int, ...], dtype: DType) -> States:
        """The caller's states, checked, or the learned ones: ``[*lead, n]``."""
        if hx is None:
            learned: list[Any] = [self._parameters[f"initial_{s}"] for s in self._states]
            if len(self._lead) == len(lead):  # with a batch
                learned = [k.expand(k.unsqueeze(p, len(lead) - 1), [*lead, p.shape[-1]]) for p in learned]
            return tuple(learned)
        sizes = self._sizes
        given = (hx,) if len(sizes) == 1 else hx
        if not isinstance(given, (tuple, list)) or len(given) != len(sizes):  # pyright: ignore[reportUnknownArgumentType]
            self._refuse_state(hx, lead, dtype)
        for i, s in enumerate(given):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            if not isinstance(s, Tensor) or s.shape != (*lead, sizes[i]) or s.dtype is not dtype:
                self._refuse_state(hx, lead, dtype)
        return tuple(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def _refuse_state(self, hx: Any, lead: tuple[int, ...], dtype: DType) -> NoReturn:
        name, sizes = type(self).__name__, self._states
        listed = isinstance(hx, (tuple, list))
        given: list[Any] = [hx]
        if len(sizes) > 1:
            given = list(hx) if listed else []  # pyright: ignore[reportUnknownArgumentType]
        if len(given) != len(sizes) or not all(isinstance(s, Tensor) for s in given):
            wanted = f"a tuple of {len(sizes)} tensors ({', '.join(sizes)})" if len(sizes) > 1 else "a tensor"
            got = type(hx).__name__
            if listed:
                got = f"a {got} of {len(hx)} ({', '.join(type(s).__name__ for s in hx)})"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            raise TypeError(f"{name}: the state must be {wanted}, got {got}")
        axes = ", ".join([*self._lead[: len(lead)], "size"])
        for s, (state, n) in zip(given, sizes.items(), strict=True):
            if s.shape != (*lead, n):
                raise ShapeError(
                    f"{name}: expected the state {state} of shape {[*lead, n]} ({axes}), got {list(s.shape)}"
                )
            if s.dtype is not dtype:
                raise TypeError(
                    f"{name}: the state {state} is {s.dtype.name} and the input {dtype.name}; "
                    "convert one of them with .to(dtype)"
                )
        raise AssertionError

    def _zeros(self, lead: tuple[int, ...], dtype: DType) -> States:
        if _core.recording():
            # The recorder has to see that they are the same in each step.
            return tuple([creation.zeros(*lead, n, dtype=dtype) for n in self._sizes])
        return tuple([_core.zeros((*lead, n), dtype) for n in self._sizes])

    def _options(self) -> str:
        """What the repr says of arguments that PyTorch does not have."""
        return ", learn_initial_state=True" if self.learn_initial_state else ""


def plain(state: Sequence[Any]) -> Any:
    """A state as users see it: a tensor where there is only one."""
    return state[0] if len(state) == 1 else tuple(state)


def flag(layer: str, name: str, value: Any) -> bool:
    """A bool given to a layer's constructor."""
    if not isinstance(value, bool):
        raise TypeError(f"{layer}: {name} must be a bool, got {type(value).__name__}")
    return value


class RecurrentCell(Form):
    """One step of a form."""

    _lead = ("batch",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        self._set_sizes(input_size, hidden_size, bias, learn_initial_state)
        shapes = self._shapes(self.input_size)
        for slot in self.slots:
            if slot in shapes:
                self.register_parameter(slot, parameter(shapes[slot], dtype, device))
            elif slot.startswith("bias"):
                self.register_parameter(slot, None)
        if learn_initial_state:
            for state, n in self._states.items():
                self.register_parameter(f"initial_{state}", parameter((n,), dtype, device))
        self.reset_parameters()

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        if not isinstance(input, Tensor):
            self._refuse(input)
        shape = input.shape
        axes = len(shape)
        if not 0 < axes < 3 or shape[-1] != self.input_size:
            self._refuse(input)
        self._check_dtype(input, self.slots[0])
        k = namespace()
        alone = axes == 1
        x = k.unsqueeze(input, 0) if alone else input
        batch = 1 if alone else shape[0]
        if hx is None and not self.learn_initial_state:
            state = self._zeros((batch,), input.dtype)
        else:
            state = self._initial(k, hx, shape[:-1], input.dtype)
            if alone:
                state = tuple([k.unsqueeze(s, 0) for s in state])
        w = self._weights(self.slots)
        _, *after = self._through(k, x, state, w, [batch], False)
        if alone:
            after = [k.squeeze(s, 0) for s in after]
        return plain(after)

    def _refuse(self, x: Any) -> NoReturn:
        name, n = type(self).__name__, self.input_size
        shape = list(tensor_of(name, x).shape)
        raise ShapeError(f"{name}: expected an input of shape [batch, {n}] or [{n}], got shape {shape}")

    def extra_repr(self) -> str:
        said = f"{self.input_size}, {self.hidden_size}"
        said += f", bias={self.bias}" if self.bias is not True else ""
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        said += f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else ""
        return said + self._options()
