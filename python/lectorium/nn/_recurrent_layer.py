"""The base of all recurrent layers."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

from .. import _core, ops
from .._core import Tensor, dtype as DType
from ..ops.cells import split
from . import functional as F
from ._make import parameter, size
from ._recurrent import Form, ShapeError, States, flag, namespace, plain
from .utils._packing import checked_sizes, packing, read_lengths
from .utils.rnn import PackedSequence, invert_permutation


class RecurrentLayer(Form):
    """Layers and directions of one form over whole sequences."""

    _lead = ("layers * directions", "batch")

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
        return [[w for w in self._weights(names) if w is not None] for names in self._names]

    def flatten_parameters(self) -> None:
        """Does nothing: there is no faster memory layout to bring the weights to.

        Example:
            >>> lt.nn.LSTM(2, 3).flatten_parameters()
        """

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:
        if lengths is not None or not isinstance(input, Tensor):
            return self._ragged(input, hx, lengths)
        shape = input.shape
        axes = len(shape)
        first = self.batch_first and axes == 3
        if not 1 < axes < 4 or shape[-1] != self.input_size or not shape[first]:
            self._refuse(input)
        self._check_dtype(input, self._names[0][0])
        k = namespace()
        batch = 1 if axes == 2 else shape[not first]
        x = k.unsqueeze(input, 1) if axes == 2 else k.transpose(input, 0, 1) if first else input
        given = None
        if hx is not None or self.learn_initial_state:
            lead = (len(self._names), batch)
            given = self._initial(k, hx, lead[: axes - 1], input.dtype)
            if axes == 2:
                given = tuple([k.unsqueeze(s, 1) for s in given])
        y, final = self._run(k, x, given, batch, None)
        if axes == 2:
            y, final = k.squeeze(y, 1), [k.squeeze(s, 1) for s in final]
        elif self.batch_first:
            y = k.transpose(y, 0, 1)
        return y, plain(final)

    def _run(
        self, k: Any, x: Any, given: States | None, batch: int, sizes: list[int] | None
    ) -> tuple[Any, list[Any]]:
        """All layers over ``[T, B, I]``, or over packed rows; states are ``[layers * directions, B, n]``."""
        names = self._names
        count = len(names)
        if count == 1:
            w = self._weights(names[0])
            if self._direct(k, x):
                # The states keep their axis for the one layer.
                first = self._zeros((1, batch), x.dtype) if given is None else given
                y, *final = _core.recurrent_layer(self.kind, x, first, w, sizes, False)
                return y, final
            first = (
                self._zeros((batch,), x.dtype) if given is None else tuple([k.squeeze(s, 0) for s in given])
            )
            y, *final = self._through(k, x, first, w, sizes, False)
            return y, [k.unsqueeze(s, 0) for s in final]
        if given is None:
            initial = [self._zeros((batch,), x.dtype)] * count
        else:
            rows = [k.reshape(s, [count * batch, s.shape[2]]) for s in given]
            initial = list(zip(*[split(k, r, [batch] * count, 0) for r in rows], strict=True))
        finals: list[States] = []
        both = 2 if self.bidirectional else 1
        drops = self.dropout if self.training else 0.0
        for i in range(0, count, both):
            outs: list[Tensor] = []
            for j in range(i, i + both):
                w = self._weights(names[j])
                y, *final = self._through(k, x, initial[j], w, sizes, j > i)
                outs.append(y)
                finals.append(tuple(final))
            x = outs[0] if both == 1 else k.cat(outs, -1)
            if drops and i + both < count:
                x = F.dropout(x, drops)
        joined = [k.cat(list(s), 0) for s in zip(*finals, strict=True)]
        return x, [k.reshape(s, [count, batch, s.shape[1]]) for s in joined]

    def _ragged(self, input: Any, hx: Any, lengths: Any) -> Any:
        """Sequences of several lengths, packed already or to be packed here."""
        name = type(self).__name__
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError(f"{name}: a PackedSequence has its own lengths; leave lengths out")
            data = input.data
            if data.ndim != 2 or data.shape[1] != self.input_size:
                self._refuse(data, f"packed rows of shape [rows, {self.input_size}]")
            sizes = checked_sizes(name, input)
            y, final = self._in_order(data, hx, sizes, input.sorted_indices, input.unsorted_indices)
            return PackedSequence(y, *input[1:]), final
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: input must be a Tensor or a PackedSequence, got {type(input).__name__}")
        if input.ndim != 3 or input.shape[2] != self.input_size:
            self._refuse(input, f"with lengths, an input of shape {self._layout()}")
        x = ops.transpose(input, 0, 1) if self.batch_first else input
        steps, batch = x.shape[:2]
        made = packing(read_lengths(name, lengths, batch, steps))
        if not made.batch_sizes or (len(made.batch_sizes) == steps and made.batch_sizes[-1] == batch):
            return self.forward(input, hx)
        order = None
        if made.order is not None:
            order = _core.from_numbers(tuple(made.order), [batch], _core.int64)
        y, final = self._in_order(made.pack(x), hx, made.batch_sizes, order, invert_permutation(order))
        y = made.pad(y, steps, batch)
        return ops.transpose(y, 0, 1) if self.batch_first else y, final

    def _in_order(
        self, rows: Tensor, hx: Any, sizes: list[int], order: Tensor | None, back: Tensor | None
    ) -> tuple[Any, Any]:
        """Packed rows, and states in the order of the caller's sequences."""
        batch, given = sizes[0], None
        self._check_dtype(rows, self._names[0][0])
        if hx is not None or self.learn_initial_state:
            given = self._initial(ops, hx, (len(self._names), batch), rows.dtype)
            if order is not None:
                given = tuple([ops.index_select(s, 1, order) for s in given])
        y, final = self._run(ops, rows, given, batch, sizes)
        if back is not None:
            final = [ops.index_select(s, 1, back) for s in final]
        return y, plain(final)

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
