"""The same LeNet-5 training loop in Lectorium and in PyTorch: accuracy, seconds an epoch, peak memory.

    LECTORIUM_DATA=… python benches/lenet5_loop.py [--epochs 3] [--threads N] [--write]

MNIST, batch 64, Adam 1e-3; the loop below is what a user writes, only the import differs. Two processes take
turns, an epoch each, so that neither steals the other's cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
from sides import Side
from tables import cores, heading, write_results


def load(train: bool) -> tuple[Any, Any]:
    """MNIST as float32 pictures and int64 labels."""
    from lectorium.datasets import MNIST

    images, labels = MNIST(train=train).arrays()
    return ((images.astype(np.float32) / 255 - 0.1307) / 0.3081), labels


def worker(library: str, threads: int) -> None:
    """Trains one epoch for every line on standard input; an empty one ends it."""
    side = Side("eager" if library == "torch" else "")
    lib = side.lib
    lib.set_num_threads(threads)
    lib.manual_seed(0)
    # What the process held before the first step: importing and the data.
    x, y = (lib.from_numpy(a) for a in load(train=True))
    test_x, test_y = (lib.from_numpy(a) for a in load(train=False))
    model = side.module("lenet5").LeNet5()
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
    criterion = lib.nn.CrossEntropyLoss()
    order = np.random.default_rng(0)
    for line in sys.stdin:
        if not line.strip():
            break
        start = time.perf_counter()
        permutation = lib.from_numpy(order.permutation(len(y)))
        for i in range(0, len(y), 64):
            index = permutation[i : i + 64]
            optimizer.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - start
        right = 0
        with lib.no_grad():
            for i in range(0, len(test_y), 500):
                right += int((model(test_x[i : i + 500]).argmax(1) == test_y[i : i + 500]).sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([seconds, right / len(test_y), peak]), flush=True)


def main() -> None:
    """Runs both and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--write", action="store_true", help="put the table into benches/RESULTS.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.threads)
        return
    command = [sys.executable, __file__, "--threads", str(args.threads), "--worker"]
    sides = {
        side: subprocess.Popen([*command, side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for side in ("lectorium", "torch")
    }
    results: dict[str, list[list[float]]] = {side: [] for side in sides}
    for epoch in range(args.epochs):
        for side, process in sides.items():
            assert process.stdin
            assert process.stdout
            process.stdin.write("epoch\n")
            process.stdin.flush()
            results[side].append(json.loads(process.stdout.readline()))
            print(f"epoch {epoch + 1} {side}: {results[side][-1]}", flush=True)
    for process in sides.values():
        process.communicate("\n")
    lines = ["| | test accuracy | seconds an epoch (best) | peak memory, MB |", "|---|---:|---:|---:|"]
    for side, rows in results.items():
        lines.append(f"| {side} | {rows[-1][1]:.2%} | {min(r[0] for r in rows):.1f} | {rows[-1][2]:.0f} |")
    ratio = min(r[0] for r in results["torch"]) / min(r[0] for r in results["lectorium"])
    lines.append(f"| **torch / lectorium** | | **{ratio:.2f}** | |")
    print("\n".join(lines))
    if args.write:
        command = f"python benches/lenet5_loop.py --epochs {args.epochs}"
        text = heading(command, f"{args.threads} threads", "MNIST, batch 64, Adam.")
        write_results("lenet5_loop.py", text + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
