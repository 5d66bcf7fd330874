"""Training steps while other processes keep a core busy each: how much slower than alone.

    python benches/contention.py [--busy 1 2] [--threads N] [--quick] [--write]

Each side in its own process, in turns; means of all calls, not quartiles, as it is the waiting that counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tables import cores, figure, heading, write_results
from worker import Worker

STEPS = ("train ResNet-20 32x32 b64", "train LeNet-5 b64 Adam")
# A step may be so many times slower beside one and two busy processes, on two cores.
TARGETS = {1: 2.2, 2: 3.5}


def measure(case: str, busy: list[int], threads: int, quick: bool) -> dict[str, list[float]]:
    """Mean seconds of a step on each side: alone, and beside each number of busy processes."""
    rounds, seconds = (1, 1.0) if quick else (3, 2.0)
    sides = {mode: Worker(mode, threads) for mode in ("", "eager")}
    times: dict[str, list[list[float]]] = {mode: [[] for _ in (0, *busy)] for mode in sides}
    for side in sides.values():
        side.ask(case=case, seconds=0.5)
    for _ in range(rounds):
        for i, count in enumerate((0, *busy)):
            others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
            try:
                for mode, side in sides.items():
                    answer = side.ask(case=case, seconds=seconds)
                    if "error" in answer:
                        raise RuntimeError(answer["error"])
                    times[mode][i] += answer["times"][""]
            finally:
                for other in others:
                    other.kill()
                    other.wait()
    for side in sides.values():
        side.close()
    return {mode: [sum(t) / len(t) for t in all_times] for mode, all_times in times.items()}


def main() -> None:
    """Runs all steps and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy", type=int, nargs="+", default=[1, 2], help="numbers of busy processes")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--write", action="store_true", help="put the table into benches/RESULTS.md")
    args = parser.parse_args()
    cells = ["", "alone, ms", *(f"beside {n}" for n in args.busy)]
    lines = ["| " + " | ".join(cells) + " |", "|---|" + "---:|" * (len(cells) - 1)]
    print("\n".join(lines), flush=True)
    for case in STEPS:
        for mode, (alone, *slower) in measure(case, args.busy, args.threads, args.quick).items():
            cells = [f"{case}, {'PyTorch' if mode else 'ours'}", figure(alone)]
            for count, seconds in zip(args.busy, slower, strict=True):
                factor, most = seconds / alone, TARGETS.get(count)
                missed = not mode and most is not None and factor > most
                cells.append(f"**{factor:.2f}** ✗ {most}" if missed else f"{factor:.2f}")
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    if args.write:
        command = "python benches/contention.py"
        notes = "Times slower than alone; ours should stay within 2.2 beside one process and 3.5 beside two."
        text = heading(command, f"{args.threads} threads", notes)
        write_results("contention.py", text + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
