"""The three cells that an evolutionary search found (Jozefowicz et al. 2015), as layers and as cells."""

from __future__ import annotations

from typing import Any

from .._core import Tensor, dtype as DType
from ..ops.cells import split
from ._recurrent import Form, RecurrentCell, Shapes, flag
from ._recurrent_layer import RecurrentLayer


class MUTForm(Form):
    """Gates z, r, h. One bias each; ``weight_in`` where the input itself is added and has another size."""

    slots = ("weight_ih", "weight_hh", "bias_ih", "weight_in")
    project_input: bool
    # How many gates have a matrix on the input, and on the state; whether the input itself is added.
    on_input = 2
    on_state = 3
    adds_input = True
    one_map = False

    def _shapes(self, inputs: int) -> Shapes:
        n = self.hidden_size
        shapes: Shapes = {"weight_ih": (self.on_input * n, inputs), "weight_hh": (self.on_state * n, n)}
        if self.bias:
            shapes["bias_ih"] = (3 * n,)
        if self.adds_input and inputs != n:
            if not self.project_input:
                raise ValueError(
                    f"{type(self).__name__}: adds the input itself to a gate, so the input of every layer "
                    f"must have hidden_size={n} features, got {inputs}; pass project_input=True to bring it "
                    "to that size by a matrix"
                )
            shapes["weight_in"] = (n, inputs)
        return shapes

    def _options(self) -> str:
        return (", project_input=True" if self.project_input else "") + super()._options()


class MUT1Form(MUTForm):
    """What ``MUT1`` and ``MUT1Cell`` have in common."""

    kind = "mut1"
    on_state = 2

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        w_ih, w_hh, bias, w_in = w
        n = self.hidden_size
        b_zr, b_h = (None, None) if bias is None else split(k, bias, [2 * n, n], 0)
        h = k.tanh(x if w_in is None else k.linear(x, w_in))
        return k.cat([k.linear(x, w_ih, b_zr), h if b_h is None else k.add(h, b_h)], -1), (w_hh,)


class MUT2Form(MUTForm):
    """What ``MUT2`` and ``MUT2Cell`` have in common."""

    kind = "mut2"

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        w_ih, w_hh, bias, w_in = w
        z, h = split(k, k.linear(x, w_ih), [self.hidden_size] * 2, -1)
        gates = k.cat([z, x if w_in is None else k.linear(x, w_in), h], -1)
        return gates if bias is None else k.add(gates, bias), (w_hh,)


class MUT3Form(MUTForm):
    """What ``MUT3`` and ``MUT3Cell`` have in common."""

    kind = "mut3"
    on_input = 3
    adds_input = False

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        w_ih, w_hh, bias, _ = w
        return k.linear(x, w_ih, bias), (w_hh,)


class _Layer(MUTForm, RecurrentLayer):
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
        project_input: bool = False,
        learn_initial_state: bool = False,
    ) -> None:
        self.project_input = flag(type(self).__name__, "project_input", project_input)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype,
            learn_initial_state=learn_initial_state,
        )  # fmt: skip


class _Cell(MUTForm, RecurrentCell):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        project_input: bool = False,
        learn_initial_state: bool = False,
    ) -> None:
        self.project_input = flag(type(self).__name__, "project_input", project_input)
        super().__init__(
            input_size, hidden_size, bias, device, dtype, learn_initial_state=learn_initial_state
        )


class MUT1(MUT1Form, _Layer):
    """The first cell of Jozefowicz et al. 2015: the update gate sees the input only.

    ``h' = tanh(W_hh (r h) + tanh(x) + b_h) z + h (1 - z)`` with the gates ``z = s(W_xz x + b_z)`` and
    ``r = s(W_xr x + W_hr h + b_r)``.

    x itself is added, so it has ``hidden_size`` features; ``project_input=True`` brings it there by a matrix
    in the layers where it has not. All else is as in ``RNN``. Parameters: ``weight_ih`` holds W_xz and W_xr,
    ``weight_hh`` W_hr and W_hh, ``bias_ih`` b_z, b_r and b_h.

    Errors: ValueError if the sizes differ and ``project_input`` is False.

    Example:
        >>> out, h = lt.nn.MUT1(10, 20, project_input=True)(lt.randn(5, 3, 10))
        >>> out.shape, h.shape
        ((5, 3, 20), (1, 3, 20))
    """


class MUT2(MUT2Form, _Layer):
    """The second cell of Jozefowicz et al. 2015: the reset gate sees the input itself.

    ``h' = tanh(W_hh (r h) + W_xh x + b_h) z + h (1 - z)`` with the gates ``z = s(W_xz x + W_hz h + b_z)`` and
    ``r = s(x + W_hr h + b_r)``.

    As ``MUT1``; ``weight_ih`` holds W_xz and W_xh, ``weight_hh`` W_hz, W_hr and W_hh.

    Example:
        >>> lt.nn.MUT2(20, 20, bidirectional=True)(lt.randn(5, 3, 20))[0].shape
        (5, 3, 40)
    """


class MUT3(MUT3Form, _Layer):
    """The third cell of Jozefowicz et al. 2015: the update gate sees tanh of the state.

    ``h' = tanh(W_hh (r h) + W_xh x + b_h) z + h (1 - z)`` with the gates
    ``z = s(W_xz x + W_hz tanh(h) + b_z)`` and ``r = s(W_xr x + W_hr h + b_r)``.

    As ``MUT1``, but the input may have any size; ``weight_ih`` holds W_xz, W_xr and W_xh, ``weight_hh`` W_hz,
    W_hr and W_hh.

    Example:
        >>> lt.nn.MUT3(10, 20)(lt.randn(5, 3, 10))[0].shape
        (5, 3, 20)
    """


class MUT1Cell(MUT1Form, _Cell):
    """One step of ``MUT1``, as ``RNNCell``.

    Example:
        >>> lt.nn.MUT1Cell(20, 20)(lt.randn(3, 20)).shape
        (3, 20)
    """


class MUT2Cell(MUT2Form, _Cell):
    """One step of ``MUT2``, as ``RNNCell``.

    Example:
        >>> lt.nn.MUT2Cell(10, 20, project_input=True)(lt.randn(3, 10)).shape
        (3, 20)
    """


class MUT3Cell(MUT3Form, _Cell):
    """One step of ``MUT3``, as ``RNNCell``.

    Example:
        >>> lt.nn.MUT3Cell(10, 20)(lt.randn(3, 10), lt.zeros(3, 20)).shape
        (3, 20)
    """
