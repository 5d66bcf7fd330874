"""``lt.scan`` beside the same cell in a Python loop, here and in PyTorch: training steps of own cells.

python benches/scan.py [--threads 2] [--steps 50] [--batch 1 8 32] [--hidden 128] [--rounds 5]
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def rnn(m: Any, w: Any) -> Callable[..., Any]:
    """h' = tanh(W x + U h + b)."""

    def cell(x: Any, h: Any) -> Any:
        h = m.tanh(x @ w["wx"] + h @ w["wh"] + w["b"])
        return h, h

    return cell


def gru(m: Any, w: Any) -> Callable[..., Any]:
    """Cho et al. 2014, with the reset gate after the product, as PyTorch's."""

    def cell(x: Any, h: Any) -> Any:
        xr, xz, xn = (x @ w["wx"] + w["b"]).chunk(3, 1)
        hr, hz, hn = (h @ w["wh"] + w["c"]).chunk(3, 1)
        r, z = m.sigmoid(xr + hr), m.sigmoid(xz + hz)
        n = m.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
        return h, h

    return cell


def lstm(m: Any, w: Any) -> Callable[..., Any]:
    """Hochreiter and Schmidhuber 1997, with a forget gate."""

    def cell(x: Any, state: Any) -> Any:
        h, c = state
        i, f, g, o = (x @ w["wx"] + h @ w["wh"] + w["b"]).chunk(4, 1)
        c = m.sigmoid(f) * c + m.sigmoid(i) * m.tanh(g)
        h = m.sigmoid(o) * m.tanh(c)
        return h, (h, c)

    return cell


CELLS = {"rnn": (rnn, 1), "gru": (gru, 3), "lstm": (lstm, 4)}


def arrays(gates: int, steps: int, batch: int, hidden: int) -> dict[str, Any]:
    """Weights and inputs, the same for both libraries."""
    rng = np.random.default_rng(0)

    def draw(*shape: int, scale: float = 1.0) -> Any:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    return {
        "x": draw(steps, batch, hidden),
        "wx": draw(hidden, gates * hidden, scale=hidden**-0.5),
        "wh": draw(hidden, gates * hidden, scale=hidden**-0.5),
        "b": draw(gates * hidden, scale=0.1),
        "c": draw(gates * hidden, scale=0.1),
    }


def loop(m: Any, cell: Any, x: Any, state: Any) -> Any:
    """The cell called step by step."""
    outputs: list[Any] = []
    for t in range(x.shape[0]):
        y, state = cell(x[t], state)
        outputs.append(y)
    return m.stack(outputs), state


def step(run: Any, w: Any, cell: Any, state: Any) -> None:
    """Gradients of all weights."""
    for k in ("wx", "wh", "b", "c"):
        w[k].grad = None
    outputs, _ = run(cell, w["x"], state)
    (outputs * outputs).mean().backward()


# Seconds before anything is measured: the threads of NumPy's BLAS spin for a while after the import.
WARM = 0.3
# Steps in a row, of which the first is not counted: it finds the caches full of another way's values.
ROW = 6


def measure(args: argparse.Namespace, batch: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each way of one library, by cell."""
    m: Any = importlib.import_module(args.library)
    m.set_num_threads(args.threads)
    found: dict[str, dict[str, list[float]]] = {}
    for name, (make, gates) in CELLS.items():
        data = arrays(gates, args.steps, batch, args.hidden)
        w = {k: m.tensor(v) for k, v in data.items()}
        for k in ("wx", "wh", "b", "c"):
            w[k].requires_grad = True
        zero = m.zeros(batch, args.hidden)
        state = (zero, zero) if name == "lstm" else zero
        cell = make(m, w)
        runs = {f"{m.__name__} loop": functools.partial(loop, m)}
        if m.__name__ == "lectorium":
            runs["scan"] = m.scan
        times: dict[str, list[float]] = {k: [] for k in runs}
        for run in runs.values():
            start = time.perf_counter()
            while time.perf_counter() - start < WARM:
                step(run, w, cell, state)
        for _ in range(args.rounds):
            for k, run in runs.items():
                for number in range(ROW):
                    start = time.perf_counter()
                    step(run, w, cell, state)
                    if number > 0:
                        times[k].append(time.perf_counter() - start)
        found[name] = times
    return found


def main() -> None:
    """Prints milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--library", choices=["lectorium", "torch"], help="measure this one, here")
    args = parser.parse_args()
    if args.library:
        print(json.dumps({batch: measure(args, batch) for batch in args.batch}))
        return
    times: dict[str, dict[str, dict[str, list[float]]]] = {
        str(batch): {name: {} for name in CELLS} for batch in args.batch
    }
    for _ in range(3):
        # Processes of their own: PyTorch's idle threads would keep a core from ours.
        for library in ("lectorium", "torch"):
            again = [sys.executable, __file__, *sys.argv[1:], "--library", library]
            for batch, cells in json.loads(subprocess.check_output(again)).items():
                for name, ways in cells.items():
                    for way, seconds in ways.items():
                        times[batch][name].setdefault(way, []).extend(seconds)
    print(f"T {args.steps}, H {args.hidden}, {args.threads} threads; milliseconds of a training step")
    print("batch cell    scan  loop here       PyTorch's loop")
    for batch, cells in times.items():
        for name, ways in cells.items():
            scan, ours, theirs = (
                sorted(ways[k])[len(ways[k]) // 4] * 1e3 for k in ("scan", "lectorium loop", "torch loop")
            )
            here, there = f"{ours:6.2f} {ours / scan:5.2f}x", f"{theirs:6.2f} {theirs / scan:5.2f}x"
            print(f"{batch:>5} {name:5} {scan:6.2f}  {here}  {there}", flush=True)


if __name__ == "__main__":
    main()
