"""Lectorium against PyTorch on this machine: the same code on both, in turns, in separate processes.

    python benches/vs_torch.py [--quick] [--only WORD ...] [--threads N ...] [--simd avx2]
                               [--torch eager channels-last compile] [--keep FILE] [--write]

All sides get the same thread count and are warmed up. Rounds alternate, each side's figure is the lower
quartile of all its timed calls, and the ratio is PyTorch's time over ours: above 1 we are faster. Each case
has fresh processes; its memory is the most they held beyond what they held after importing the library.
Where a target is missed, the ratio has a cross and the target beside it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from cases import CASES, Case
from sides import MODES
from tables import Row, cores, head_of, heading, lines_of, report, summary, write_results
from worker import Worker


def quartile(times: list[float]) -> float:
    """The lower quartile."""
    return sorted(times)[len(times) // 4]


def measure(case: Case, modes: list[str], threads: int, simd: str, quick: bool) -> Row:
    """One case, all sides in turns."""
    rounds, seconds = (2, 0.1) if quick else (5, 0.4)
    row = Row(case.name, case.group)
    sides = {mode: Worker(mode, threads, simd) for mode in ("", *filter(case.runs, modes))}
    times: dict[str, dict[str, list[float]]] = {mode: {} for mode in sides}
    for _ in range(rounds):
        for mode, side in sides.items():
            if mode in row.errors:
                continue
            answer = side.ask(case=case.name, seconds=seconds)
            if "error" in answer:
                row.errors[mode] = answer["error"]
                del times[mode]
                continue
            row.peaks[mode], row.held[mode] = answer["peak"], answer["held"]
            for part, new in answer["times"].items():
                times[mode].setdefault(part, []).extend(new)
    for side in sides.values():
        side.close()
    row.times = {mode: {part: quartile(t) for part, t in parts.items()} for mode, parts in times.items()}
    return row


class Kept:
    """Rows in a file, so that a long run can go on where it stopped."""

    def __init__(self, path: str | None) -> None:
        self.path = Path(path) if path else None
        self.rows: dict[str, Row] = {}
        if self.path and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                key, row = json.loads(line)
                self.rows[key] = Row(**row)

    def get(self, key: str) -> Row | None:
        """A row measured before."""
        return self.rows.get(key)

    def add(self, key: str, row: Row) -> None:
        """Keeps a row."""
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, row.__dict__]) + "\n")


def run(args: argparse.Namespace, threads: int) -> bool:
    """The comparison at one thread count; whether all cases ran on all sides."""
    level = 1 if args.simd == "avx2" else 0
    kept, rows = Kept(args.keep), []
    print("\n".join(head_of(args.torch)), flush=True)
    for case in chosen(args.only):
        key = json.dumps([case.name, threads, args.simd, args.torch])
        row = kept.get(key)
        if row is None:
            row = measure(case, args.torch, threads, args.simd, args.quick)
            kept.add(key, row)
        rows.append(row)
        print("\n".join(lines_of(row, args.torch, level)), flush=True)
    print("\n" + "\n".join(summary(rows, args.torch, level)))
    if args.write:
        setting = f"{threads} thread{'s' * (threads > 1)}" + (", both held to AVX2" if level else "")
        if args.torch != ["eager"]:
            setting += f", PyTorch {', '.join(args.torch)}"
        held = [f"{max(r.held.get(m, 0) for r in rows) / 1e6:.0f}" for m in ("", args.torch[0])]
        notes = (
            "Ratio = PyTorch's time / ours; lower quartiles; float32. Memory is the peak beyond what each "
            f"process held after importing: {held[0]} MB ours, {held[1]} MB PyTorch's. Code that a library "
            "loads when it first runs counts, up to 10 MB of ours and 25 MB of PyTorch's."
        )
        text = heading(command(args, threads), setting, notes)
        write_results(f"vs_torch.py, {setting}", text + "\n" + report(rows, args.torch, level))
    return not any(row.errors for row in rows)


def command(args: argparse.Namespace, threads: int) -> str:
    """What to type for the same table; where rows are kept is nobody's concern."""
    words = ["python", "benches/vs_torch.py", "--threads", str(threads)]
    words += ["--quick"] if args.quick else []
    words += ["--simd", args.simd] if args.simd else []
    words += ["--torch", *args.torch] if args.torch != ["eager"] else []
    return shlex.join(words)


def chosen(words: list[str]) -> list[Case]:
    """Cases with one of the words in their name or group; =NAME is one case."""
    return [
        case
        for case in CASES.values()
        if not words
        or any(
            w[1:] == case.name if w.startswith("=") else w.lower() in f"{case.name} {case.group}".lower()
            for w in words
        )
    ]


def main() -> None:
    """Runs the comparison and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two short rounds of each case")
    parser.add_argument(
        "--only", nargs="+", default=[], help="words in names or groups of cases; =NAME for one"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[cores()])
    parser.add_argument("--simd", choices=["", "avx2"], default="", help="holds both sides to AVX2")
    parser.add_argument("--torch", nargs="+", choices=MODES, default=["eager"], help="modes of PyTorch")
    parser.add_argument("--list", action="store_true", help="names the cases")
    parser.add_argument(
        "--keep", metavar="FILE", help="rows go there, and those that are there are not run again"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into benches/RESULTS.md")
    args = parser.parse_args()
    for word in args.only:
        if not chosen([word]):
            parser.error(f"no case has {word!r} in its name or group; --list names them")
    if min(args.threads) < 1:
        parser.error(f"--threads {min(args.threads)}: expected 1 or more")
    if args.write and args.only:
        parser.error("--write takes whole tables: leave out --only")
    if args.list:
        print("\n".join(case.name for case in chosen(args.only)))
        return
    failed = [threads for threads in args.threads if not run(args, threads)]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
