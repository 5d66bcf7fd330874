"""Lectorium against PyTorch on this machine: the same code on both, in turns, in separate processes.

    python benches/vs_torch.py [--quick] [--only WORD ...] [--threads N] [--write]

Both sides get the same thread count and are warmed up. Rounds alternate, each side's figure is the lower
quartile of all its timed calls, and the ratio is PyTorch's time over ours: above 1 we are faster. ``--write``
puts the table into benches/RESULTS.md under the heading of this script.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Case = Callable[[Any], Callable[[], Any]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Registers a benchmark: a function of the library that returns what to time."""

    def register(function: Case) -> Case:
        CASES[name] = function
        return function

    return register


def draw(lib: Any, *shape: int) -> Any:
    """The same normal float32 numbers on either side."""
    return lib.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def lenet5(nn: Any) -> Any:
    """LeNet-5 as the lecture has it."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2450, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


def training_step(lib: Any, model: Any, x: Any, optimizer: str) -> Callable[[], Any]:
    """Forward, loss, backward, update."""
    target = lib.from_numpy(np.random.default_rng(1).integers(0, 10, x.shape[0]))
    loss_of = lib.nn.CrossEntropyLoss()
    update = getattr(lib.optim, optimizer)(model.parameters(), lr=1e-3)

    def step() -> None:
        update.zero_grad()
        loss_of(model(x), target).backward()
        update.step()

    return step


@case("train LeNet-5 b64 Adam")
def _(lib: Any) -> Callable[[], Any]:
    return training_step(lib, lenet5(lib.nn), draw(lib, 64, 1, 28, 28), "Adam")


@case("train MLP 784-512-512-10 b128 Adam")
def _(lib: Any) -> Callable[[], Any]:
    nn = lib.nn
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return training_step(lib, model, draw(lib, 128, 784), "Adam")


@case("infer LeNet-5 b32")
def _(lib: Any) -> Callable[[], Any]:
    model, x = lenet5(lib.nn).eval(), draw(lib, 32, 1, 28, 28)

    def infer() -> None:
        with lib.no_grad():
            model(x)

    return infer


@case("100 small operations with gradients")
def _(lib: Any) -> Callable[[], Any]:
    x = draw(lib, 16).requires_grad_()

    def chain() -> None:
        y = x
        for _ in range(50):
            y = y * 1.01 + 0.1
        y.sum().backward()

    return chain


def plain(name: str, *shapes: tuple[int, ...]) -> None:
    """A function of fresh tensors without gradients, both sides under no_grad."""

    def make(lib: Any) -> Callable[[], Any]:
        function = getattr(lib, name)
        tensors = [draw(lib, *s) for s in shapes]

        def call() -> None:
            with lib.no_grad():
                function(*tensors)

        return call

    CASES[f"{name} {' '.join('x'.join(map(str, s)) for s in shapes)}"] = make


for size in (1_000, 100_000, 4_000_000):
    for op in ("add", "mul"):
        plain(op, (size,), (size,))
    for op in ("exp", "tanh", "relu", "sigmoid"):
        plain(op, (size,))
    for op in ("sum", "mean", "max"):
        plain(op, (size,))
plain("add", (512, 512), (512,))
for m, k, n in (
    (32, 32, 32), (64, 64, 64), (128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024),
    (64, 2450, 500), (128, 784, 512), (12544, 576, 64),
):  # fmt: skip
    plain("matmul", (m, k), (k, n))


@case("softmax 1024x1000")
def _(lib: Any) -> Callable[[], Any]:
    x = draw(lib, 1024, 1000)
    return lambda: x.softmax(1)


@case("sum over axis 0, 4096x1024")
def _(lib: Any) -> Callable[[], Any]:
    x = draw(lib, 4096, 1024)
    return lambda: x.sum(0)


@case("transpose copy 2048x2048")
def _(lib: Any) -> Callable[[], Any]:
    x = draw(lib, 2048, 2048).t()
    return lambda: x.contiguous()


@case("Adam step on 10 M parameters")
def _(lib: Any) -> Callable[[], Any]:
    p = lib.nn.Parameter(draw(lib, 10_000_000))
    p.grad = draw(lib, 10_000_000)
    return lib.optim.Adam([p], lr=1e-3).step


def worker(library: str, threads: int) -> None:
    """Answers ``[case, seconds]`` lines on standard input with the times of calls."""
    if library == "torch":
        import torch as lib
    else:
        import lectorium as lib
    lib.set_num_threads(threads)
    calls: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        name, seconds = json.loads(line)
        first = name not in calls
        if first:
            calls.clear()
            lib.manual_seed(0)
            calls[name] = CASES[name](lib)
        call = calls[name]
        start = time.perf_counter()
        while first and time.perf_counter() - start < seconds:
            call()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 5 or (time.perf_counter() - start < seconds and len(times) < 5000):
            before = time.perf_counter()
            call()
            times.append(time.perf_counter() - before)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([times, peak]), flush=True)


def ask(process: subprocess.Popen[str], name: str, seconds: float) -> tuple[list[float], int]:
    """One round of one case in one worker."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps([name, seconds]) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the worker died in {name!r}")
    times, peak = json.loads(line)
    return times, peak


def quartile(times: list[float]) -> float:
    """The lower quartile."""
    return sorted(times)[len(times) // 4]


def machine() -> str:
    """The processor, its cores and both libraries' settings, in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (x.split(":")[1].strip() for x in info.read_text().splitlines() if "model name" in x), model
        )
        flags = info.read_text()
        model += ", AVX-512" if "avx512f" in flags else ", AVX2" if "avx2" in flags else ""
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write_results(section: str, text: str) -> None:
    """Replaces one section of benches/RESULTS.md."""
    path = Path(__file__).parent / "RESULTS.md"
    old = path.read_text() if path.exists() else "# Measured\n"
    head = f"## {section}\n"
    before, found, rest = old.partition(head)
    after = rest[rest.index("\n## ") + 1 :] if found and "\n## " in rest else ""
    path.write_text(f"{before.rstrip()}\n\n{head}\n{text.rstrip()}\n\n{after}".rstrip() + "\n")


def main() -> None:
    """Runs the comparison and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round of each case")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose name contains one of these words")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="put the table into benches/RESULTS.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.threads)
        return
    names = [n for n in CASES if not args.only or any(w.lower() in n.lower() for w in args.only)]
    rounds, seconds = (2, 0.1) if args.quick else (5, 0.4)
    lines = ["| | ours, ms | PyTorch, ms | ratio |", "|---|---:|---:|---:|"]
    ratios: list[float] = []
    for name in names:
        # Fresh processes for each case: neither side's heap or caches carry over.
        sides = [
            subprocess.Popen(
                [sys.executable, __file__, "--worker", side, "--threads", str(args.threads)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for side in ("lectorium", "torch")
        ]  # fmt: skip
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            for i, side in enumerate(sides):
                times[i] += ask(side, name, seconds)[0]
        for side in sides:
            assert side.stdin
            side.stdin.close()
            side.wait()
        ours, theirs = quartile(times[0]), quartile(times[1])
        ratios.append(theirs / ours)
        lines.append(f"| {name} | {ours * 1e3:.4g} | {theirs * 1e3:.4g} | {theirs / ours:.2f} |")
        print(lines[-1], flush=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    lines.append(f"| **geometric mean** | | | **{mean:.2f}** |")
    print(lines[-1])
    if args.write:
        command = "python benches/vs_torch.py" + (f" --threads {args.threads}")
        note = f"{machine()}, {args.threads} threads, {datetime.date.today()}. `{command}`\n"
        note += "Ratio = PyTorch's time / ours; lower quartiles; eager float32.\n"
        write_results("vs_torch.py", note + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
