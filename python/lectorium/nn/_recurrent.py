"""The base of all recurrent layers and cells.

A kind of cell is a ``Form``: its parameters, its states, and how the input's part of the gates is made for
all steps at once. A layer runs ``ops.sequence`` on that for each layer and direction, a cell takes one step.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NoReturn

from .. import _core, ops
from .._core import Tensor, dtype as DType
from ..ops.recurrent import composite
from . import functional as F, init
from ._make import parameter, size
from .module import Module
from .utils.rnn import PackedSequence, packing, read_lengths

ShapeError = _core.ShapeError
Shapes = dict[str, tuple[int, ...]]
States = tuple[Tensor, ...]


class Form(Module):
    """What the layer and the cell of one kind have in common."""

    # The kind of step, for ``ops.sequence``.
    kind: str
    # The parameters in the order in which `_prepare` takes them.
    slots: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gates = 1

    def _shapes(self, inputs: int) -> Shapes:
        """The shapes of the parameters of one layer and direction; by default PyTorch's four."""
        n = self.gates * self.hidden_size
        weights = {"weight_ih": (n, inputs), "weight_hh": (n, self.hidden_size)}
        return {**weights, "bias_ih": (n,), "bias_hh": (n,)} if self.bias else weights

    def _state_sizes(self) -> dict[str, int]:
        """The sizes of the states by name; the first is the output."""
        return {"h": self.hidden_size}

    def _prepare(self, x: Tensor, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """The input's part of the gates, and the weights for ``ops.sequence``; parameters by ``slots``."""
        w_ih, w_hh, b_ih, b_hh = w
        return ops.linear(x, w_ih, b_ih if b_hh is None else ops.add(b_ih, b_hh)), (w_hh,)

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

    def _initial(self, hx: Any, lead: tuple[int, ...], batch: int | None, dtype: DType) -> States | None:
        """The caller's states or the learned ones, ``[*lead, batch, n]``; None: zeros. No batch: one of 1."""
        if hx is None:
            if not self.learn_initial_state:
                return None
            grown = [ops.unsqueeze(self._parameters[f"initial_{s}"], len(lead)) for s in self._states]  # pyright: ignore[reportArgumentType]
            n = 1 if batch is None else batch
            return tuple([ops.expand(g, [*lead, n, g.shape[-1]]) for g in grown])
        given = self._as_tuple(hx)
        middle = () if batch is None else (batch,)
        for s, (name, n) in zip(given, self._states.items(), strict=True):
            if s.shape != (*lead, *middle, n):
                axes = ["layers * directions"] * len(lead) + ["batch"] * len(middle) + ["size"]
                raise ShapeError(
                    f"{type(self).__name__}: expected the state {name} of shape {[*lead, *middle, n]} "
                    f"({', '.join(axes)}), got {list(s.shape)}"
                )
            if s.dtype is not dtype:
                raise TypeError(
                    f"{type(self).__name__}: the state {name} is {s.dtype.name} and the input {dtype.name}; "
                    "convert one of them with .to(dtype)"
                )
        return given if batch is not None else tuple([ops.unsqueeze(s, len(lead)) for s in given])

    def _as_tuple(self, hx: Any) -> States:
        n = len(self._states)
        if n == 1 and isinstance(hx, Tensor):
            return (hx,)
        if n > 1 and isinstance(hx, (tuple, list)):
            parts: list[Any] = list(hx)  # pyright: ignore[reportUnknownArgumentType]
            if len(parts) == n and all(isinstance(s, Tensor) for s in parts):
                return tuple(parts)
        wanted = "a tensor" if n == 1 else f"a tuple of {n} tensors ({', '.join(self._states)})"
        got = f"a {type(hx).__name__} of {len(hx)}" if isinstance(hx, (tuple, list)) else type(hx).__name__  # pyright: ignore[reportUnknownArgumentType]
        raise TypeError(f"{type(self).__name__}: the state must be {wanted}, got {got}")

    def _zeros(self, batch: int, dtype: DType) -> States:
        return tuple([_core.zeros([batch, n], dtype) for n in self._states.values()])

    def _plain(self, state: States) -> Any:
        """A state as the user sees it: a tensor where there is only one."""
        first, *more = state
        return state if more else first

    def _options(self) -> str:
        """What the repr says of arguments that PyTorch does not have."""
        return ", learn_initial_state=True" if self.learn_initial_state else ""


def _without_sequences(
    kind: str, x: Tensor, state: Any, weights: Any, sizes: Any = None, reverse: Any = False
):
    """``ops.sequence`` of an empty batch, which the kernels refuse."""
    return composite(ops, kind, x, state, weights, sizes, reverse)


def flag(layer: str, name: str, value: Any) -> bool:
    """A bool given to a layer's constructor."""
    if not isinstance(value, bool):
        raise TypeError(f"{layer}: {name} must be a bool, got {type(value).__name__}")
    return value


class RecurrentLayer(Form):
    """Layers and directions of one form over whole sequences."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self._set_sizes(input_size, hidden_size, bias, learn_initial_state)
        self.num_layers = size(name, "num_layers", num_layers)
        self.batch_first = flag(name, "batch_first", batch_first)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must be a probability from 0 to 1, got {dropout!r}")
        self.dropout = float(dropout)
        self.bidirectional = flag(name, "bidirectional", bidirectional)
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout acts between layers, so dropout={dropout} does nothing with num_layers=1",
                stacklevel=2,
            )
        # The names of the parameters of each layer and direction.
        self._names: list[tuple[str, ...]] = []
        outputs = next(iter(self._states.values()))
        for layer in range(num_layers):
            inputs = self.input_size if layer == 0 else outputs * (2 if bidirectional else 1)
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: 2 if bidirectional else 1]:
                for slot, shape in self._shapes(inputs).items():
                    self.register_parameter(slot + suffix, parameter(shape, dtype, device))
                self._names.append(tuple(slot + suffix for slot in self.slots))
        if learn_initial_state:
            for state, n in self._states.items():
                shape = (len(self._names), n)
                self.register_parameter(f"initial_{state}", parameter(shape, dtype, device))
        self.reset_parameters()

    @property
    def mode(self) -> str:
        """PyTorch's name of the kind: ``LSTM``, ``RNN_TANH``."""
        return self.kind.upper()

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters, one list a layer and direction."""
        p = self._parameters
        return [[w for n in names if (w := p.get(n)) is not None] for names in self._names]

    def flatten_parameters(self) -> None:
        """Does nothing: there is no faster memory layout to bring the weights to."""

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:
        if lengths is not None or not isinstance(input, Tensor):
            return self._ragged(input, hx, lengths)
        shape = input.shape
        axes = len(shape)
        if shape[-1:] != (self.input_size,) or not (axes == 3 or axes == 2):
            self._refuse(input)
        if axes == 2:
            x, batch = ops.unsqueeze(input, 1), None
        elif self.batch_first:
            x, batch = ops.transpose(input, 0, 1), shape[0]
        else:
            x, batch = input, shape[1]
        if not x.shape[0]:
            self._refuse(input)
        given = None
        if hx is not None or self.learn_initial_state:
            given = self._initial(hx, (len(self._names),), batch, input.dtype)
        y, final = self._run(x, given, 1 if batch is None else batch, None)
        if axes == 2:
            y, final = ops.squeeze(y, (1,)), tuple([ops.squeeze(s, (1,)) for s in final])
        elif self.batch_first:
            y = ops.transpose(y, 0, 1)
        return y, self._plain(final)

    def _run(
        self, x: Tensor, given: States | None, batch: int, sizes: list[int] | None
    ) -> tuple[Any, States]:
        """All layers over ``[T, B, I]``, or over packed rows; states are ``[layers * directions, B, n]``."""
        p, names = self._parameters, self._names
        count = len(names)
        sequence = ops.sequence if batch else _without_sequences
        if count == 1:
            x, weights = self._prepare(x, tuple(map(p.get, names[0])))
            first = self._zeros(batch, x.dtype) if given is None else [ops.squeeze(s, (0,)) for s in given]
            y, *final = sequence(self.kind, x, tuple(first), weights, sizes)
            return y, tuple([ops.unsqueeze(s, 0) for s in final])
        if given is None:
            initial = [self._zeros(batch, x.dtype)] * count
        else:
            rows = [ops.reshape(s, [count * batch, s.shape[2]]) for s in given]
            initial = list(zip(*[ops.split(r, [batch] * count, 0) for r in rows], strict=True))
        finals: list[States] = []
        both = 2 if self.bidirectional else 1
        drops = self.dropout if self.training else 0.0
        for i in range(0, count, both):
            outs: list[Tensor] = []
            for j in range(i, i + both):
                gates, weights = self._prepare(x, tuple(map(p.get, names[j])))
                y, *final = sequence(self.kind, gates, initial[j], weights, sizes, j > i)
                outs.append(y)
                finals.append(tuple(final))
            x = outs[0] if both == 1 else ops.cat(outs, -1)
            if drops and i + both < count:
                x = F.dropout(x, drops)
        joined = [ops.cat(s, 0) for s in zip(*finals, strict=True)]
        return x, tuple([ops.reshape(s, [count, batch, s.shape[1]]) for s in joined])

    def _ragged(self, input: Any, hx: Any, lengths: Any) -> Any:
        """Sequences of several lengths, packed already or to be packed here."""
        name, lead = type(self).__name__, (len(self._names),)
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError(f"{name}: a PackedSequence has its own lengths; leave lengths out")
            data, sizes = input.data, input.batch_sizes.tolist()
            if data.ndim != 2 or data.shape[1] != self.input_size:
                self._refuse(data, f"packed rows of shape [rows, {self.input_size}]")
            given = self._initial(hx, lead, sizes[0], data.dtype)
            if input.sorted_indices is not None and hx is not None:
                given = _reordered(given, input.sorted_indices)
            y, final = self._run(data, given, sizes[0], sizes)
            if input.unsorted_indices is not None:
                final = _reordered(final, input.unsorted_indices)
            return PackedSequence(y, *input[1:]), self._plain(final)
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: input must be a Tensor or a PackedSequence, got {type(input).__name__}")
        if input.ndim != 3 or input.shape[2] != self.input_size:
            self._refuse(input, f"with lengths, an input of shape {self._layout()}")
        x = ops.transpose(input, 0, 1) if self.batch_first else input
        steps, batch = x.shape[:2]
        made = packing(read_lengths(name, lengths, batch, steps))
        if not made.batch_sizes or (len(made.batch_sizes) == steps and made.batch_sizes[-1] == batch):
            return self.forward(input, hx)
        given = self._initial(hx, lead, batch, x.dtype)
        order = made.order
        if order is not None and hx is not None:
            given = _reordered(given, _core.from_numbers(tuple(order), [batch], _core.int64))
        y, final = self._run(made.pack(x), given, batch, made.batch_sizes)
        if order is not None:
            back = sorted(range(batch), key=order.__getitem__)
            final = _reordered(final, _core.from_numbers(tuple(back), [batch], _core.int64))
        y = made.pad(y, steps, batch)
        return ops.transpose(y, 0, 1) if self.batch_first else y, self._plain(final)

    def _layout(self) -> str:
        return f"[{'batch, steps' if self.batch_first else 'steps, batch'}, {self.input_size}]"

    def _refuse(self, x: Tensor, wanted: str | None = None) -> NoReturn:
        if wanted is None:
            wanted = f"an input of shape {self._layout()}, or [steps, {self.input_size}] without a batch"
            wanted += ", of one step at least" if 0 in x.shape[:-1] else ""
        raise ShapeError(f"{type(self).__name__}: expected {wanted}, got shape {list(x.shape)}")

    def extra_repr(self) -> str:
        said = f"{self.input_size}, {self.hidden_size}"
        proj = getattr(self, "proj_size", 0)
        said += f", proj_size={proj}" if proj else ""
        said += f", num_layers={self.num_layers}" if self.num_layers != 1 else ""
        for name, usual in (
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
        ):
            value = getattr(self, name)
            said += f", {name}={value}" if value != usual else ""
        return said + self._options()


def _reordered(state: Any, order: Tensor) -> Any:
    return tuple([ops.index_select(s, 1, order) for s in state])


class RecurrentCell(Form):
    """One step of a form."""

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
        shape = input.shape if isinstance(input, Tensor) else ()
        if shape[-1:] != (self.input_size,) or len(shape) > 2:
            self._refuse(input)
        batch = shape[0] if len(shape) == 2 else None
        if batch is None:
            input = ops.unsqueeze(input, 0)
        x, weights = self._prepare(input, tuple(map(self._parameters.get, self.slots)))
        if hx is None and not self.learn_initial_state:
            state = self._zeros(1 if batch is None else batch, x.dtype)
        else:
            state = self._initial(hx, (), batch, x.dtype)
        sequence = ops.sequence if x.shape[0] else _without_sequences
        _, *after = sequence(self.kind, x, state, weights, [x.shape[0]])  # pyright: ignore[reportArgumentType]
        if batch is None:
            after = [ops.squeeze(s, (0,)) for s in after]
        return tuple(after) if len(after) > 1 else after[0]

    def _refuse(self, x: Any) -> NoReturn:
        name, n = type(self).__name__, self.input_size
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: input must be a Tensor, got {type(x).__name__}")
        raise ShapeError(
            f"{name}: expected an input of shape [batch, {n}] or [{n}], got shape {list(x.shape)}"
        )

    def extra_repr(self) -> str:
        said = f"{self.input_size}, {self.hidden_size}"
        said += f", bias={self.bias}" if self.bias is not True else ""
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        said += f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else ""
        return said + self._options()
