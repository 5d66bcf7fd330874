"""A hundred batch sizes in one process: memory stays bounded, and nothing gets slower.

    python benches/batch_sizes.py [--passes N] [--threads N] [--write]

LeNet-5 trains on batches of 1 to 100 pictures, every pass in another order. Each side in its own process; a
step with 64 pictures is timed before and after each pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import numpy as np
from sides import Side
from tables import cores, figure, heading, write_results
from worker import reset_peak, resident, timed

SIZES = 100
PROBE = 64


def work(mode: str, threads: int, passes: int) -> list[dict[str, Any]]:
    """Before the first pass and after each: a step's time, and bytes held, at most held, and pooled."""
    side = Side(mode)
    side.lib.set_num_threads(threads)
    reset_peak()
    held, _ = resident()
    net = side.module("lenet5").LeNet5()
    update = side.optim.Adam(net.parameters(), lr=1e-3)
    x, target = side.draw(SIZES, 1, 28, 28), side.integers(10, SIZES)

    def step(n: int) -> None:
        update.zero_grad()
        side.F.cross_entropy(net(x[:n]), target[:n]).backward()
        update.step()

    def record() -> dict[str, Any]:
        seconds = sorted(timed(lambda: step(PROBE), 1.0, 10))
        now, peak = (b - held for b in resident())
        pool = side.lib.memory.stats() if side.ours else {}
        return {"step": seconds[len(seconds) // 4], "held": now, "peak": peak, "pool": pool}

    timed(lambda: step(PROBE), 0.5, 10)
    records = [record()]
    order = np.random.default_rng(0)
    for _ in range(passes):
        for n in order.permutation(SIZES):
            step(int(n) + 1)
        records.append(record())
    return records


def main() -> None:
    """Runs both sides and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--write", action="store_true", help="put the table into benches/RESULTS.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.passes < 1:
        parser.error(f"--passes {args.passes}: expected 1 or more")
    if args.worker is not None:
        print(json.dumps(work(args.worker, args.threads, args.passes)))
        return
    lines = [
        "| | passes | step, ms | held, MB | peak, MB | in the pool, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    settings = ["--threads", str(args.threads), "--passes", str(args.passes)]
    ours: list[dict[str, Any]] = []
    for mode in ("", "eager"):
        command = [sys.executable, __file__, "--worker", mode, *settings]
        records = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        ours = ours or records
        for i, record in enumerate(records):
            memory = " | ".join(f"{record[key] / 1e6:.0f}" for key in ("held", "peak"))
            pool = f"{record['pool']['cached'] / 1e6:.0f}" if record["pool"] else ""
            cells = f"{'PyTorch' if mode else 'ours'} | {i} | {figure(record['step'])} | {memory} | {pool}"
            lines.append(f"| {cells} |")
    print("\n".join(lines))
    first, last = ours[1], ours[-1]
    growth = (last["peak"] - first["peak"]) / 1e6
    found = (
        f"Ours: a step after the last pass takes {last['step'] / ours[0]['step']:.2f} times one before the "
    )
    found += f"first; passes 2 to {args.passes} added {growth:.0f} MB to the peak."
    print(found)
    if args.write:
        notes = f"LeNet-5, batches of 1 to {SIZES}, a step of {PROBE} timed after each pass over all. {found}"
        text = heading("python benches/batch_sizes.py", f"{args.threads} threads", notes)
        write_results("batch_sizes.py", text + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
