"""Where the time of a case goes, on our side: kernel by kernel, convolutions and products by shape too.

    python benches/shares.py "train ResNet-18 224 b4" [--threads N] [--seconds S]

Each kernel of ``lectorium._core`` is timed from Python; what is left is the interpreter's share: modules, the
tape, the optimizer's bookkeeping.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from cases import CASES
from sides import Side
from tables import cores

# Kernels whose cost depends on the shape enough to tell shapes apart.
BY_SHAPE = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "linear", "matmul", "batch_norm")


def watch(core: Any) -> tuple[Counter[str], Counter[str]]:
    """Puts a clock around every function of the compiled module: seconds and calls by name and shapes."""
    seconds: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    inside = False

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*args, **options)
            inside, start = True, time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent, inside = time.perf_counter() - start, False
                key = name
                if name.startswith(BY_SHAPE):
                    shapes = (tuple(a.shape) for a in args[:2] if hasattr(a, "shape"))
                    key += " " + " ".join("x".join(map(str, s)) for s in shapes)
                seconds[key] += spent
                calls[key] += 1

        return call

    for name, value in list(vars(core).items()):
        if type(value).__name__ == "builtin_function_or_method" and not name.startswith("_"):
            setattr(core, name, clocked(name, value))
    return seconds, calls


def main() -> None:
    """Runs one case and prints its kernels, the longest first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=CASES, metavar="CASE")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    side = Side("")
    side.lib.set_num_threads(args.threads)
    from lectorium import _core

    seconds, calls = watch(_core)
    built = CASES[args.case].build(side)
    parts = list(built.values()) if isinstance(built, dict) else [built]
    for _ in range(3):
        for part in parts:
            part()
    seconds.clear()
    calls.clear()
    steps, start = 0, time.perf_counter()
    while (total := time.perf_counter() - start) < args.seconds:
        for part in parts:
            part()
        steps += 1
    print(f"{args.case}: {total / steps * 1e3:.4g} ms a step, {args.threads} threads")
    print("| kernel | share | calls a step | ms a step |\n|---|---:|---:|---:|")
    seconds["(Python)"] = total - seconds.total()
    for key, spent in seconds.most_common():
        if spent > 0.005 * total or key == "(Python)":
            print(f"| {key} | {spent / total:.1%} | {calls[key] / steps:.3g} | {spent / steps * 1e3:.4g} |")


if __name__ == "__main__":
    main()
