"""How gradients flow back through time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import figure, plain, png


def gradient_norms(layer: Any, input: Any, loss: Callable[[Any], Any]) -> NDArray[np.float64]:
    """The norm of the gradient of a loss for the state after each step of a recurrent layer, float64 [T].

    `layer`: an `nn.RNN`, `nn.LSTM`, `nn.GRU` or a layer of that form, in one direction; it runs step by
    step here. `input`: [T, N, I], or [N, T, I] with batch_first. `loss`: makes one number of all outputs.
    The state is h_t, of an LSTM h_t with c_t; with several layers, the states of all. Errors: ValueError
    for another input, a layer in two directions, or a loss that is no single number.

    Example:
        >>> layer = lt.nn.RNN(1, 1, bias=False, nonlinearity="relu")
        >>> for weight in layer.parameters():
        ...     _ = lt.nn.init.constant_(weight, 0.5)
        >>> lt.plot.gradient_norms(layer, lt.ones(4, 1, 1), lambda h: h[-1].sum()).tolist()
        [0.125, 0.25, 0.5, 1.0]
    """
    from ..autograd import grad
    from ..functions.join import cat

    if getattr(layer, "bidirectional", False):
        raise ValueError("gradient_norms: expected a layer in one direction, got a bidirectional one")
    if input.ndim != 3:
        raise ValueError(
            f"gradient_norms: expected input [T, N, I], or [N, T, I] with batch_first, got {input.shape}"
        )
    time = 1 if getattr(layer, "batch_first", False) else 0
    outputs: list[Any] = []
    states: list[tuple[Any, ...]] = []
    state: Any = None
    for t in range(input.shape[time]):
        output, state = layer(input.narrow(time, t, 1), state)
        outputs.append(output)
        states.append(cast("tuple[Any, ...]", state if isinstance(state, tuple) else (state,)))
    value = loss(cat(outputs, time))
    if value.numel() != 1:
        raise ValueError(f"gradient_norms: loss must give one number, got {value.shape}")
    wanted = [*outputs, *(part for parts in states for part in parts)]
    found = grad(value, wanted, allow_unused=True)
    steps = len(outputs)
    norms = np.zeros(steps)
    for t, direct in enumerate(found[:steps]):
        each = len(states[0])
        later = list(found[steps + t * each : steps + (t + 1) * each])
        # The last layer's h is an output as well as a state: what it does now and what it does later add up.
        h = np.zeros(states[t][0].shape) if later[0] is None else later[0].numpy().astype(np.float64)
        if direct is not None:
            h[-1] += direct.squeeze(time).numpy()
        rest = [part.numpy().astype(np.float64) for part in later[1:] if part is not None]
        norms[t] = np.sqrt(sum(float(np.square(part).sum()) for part in [h, *rest]))
    return norms


def gradient_flow(norms: Mapping[str, ArrayLike], title: str) -> bytes:
    """Norms as `gradient_norms` gives them over the time steps, a line for each name, as PNG; on a log scale.

    Example:
        >>> lt.plot.gradient_flow({"shrinks": [0.25, 0.5, 1.0], "grows": [4.0, 2.0, 1.0]}, "flow")[1:4]
        b'PNG'
    """
    drawn = figure(8, 4.4)
    ax = drawn.subplots()
    for name, values in norms.items():
        line = np.asarray(values, np.float64)
        # A gradient of 0 has no place on a log scale: the line ends there.
        ax.plot(np.arange(1, len(line) + 1), np.where(line > 0, line, np.nan), lw=1.6, label=name)
    ax.set(title=title, xlabel="time step", ylabel="norm of the loss's gradient for the state", yscale="log")
    plain(ax)
    if norms:
        ax.legend(frameon=False)
    return png(drawn)


def error_curves(history: Mapping[str, ArrayLike], level: float, title: str) -> bytes:
    """Errors after each epoch, a line for each name, on a log scale with a line at `level`. Returns PNG.

    Example:
        >>> lt.plot.error_curves({"lstm": [0.17, 0.1, 0.001]}, 0.167, "adding")[1:4]
        b'PNG'
    """
    drawn = figure(8, 4.4)
    ax = drawn.subplots()
    ax.axhline(level, color="#8a8a8a", lw=1, ls="--")
    for name, values in history.items():
        line = np.asarray(values, np.float64)
        ax.plot(np.arange(1, len(line) + 1), line, marker="o", ms=3.5, lw=1.4, label=name)
    ax.set(title=title, xlabel="epoch", ylabel="mean squared error", yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    plain(ax)
    ax.legend(frameon=False)
    return png(drawn)
