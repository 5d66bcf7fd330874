"""A process that serves one side: it builds a case, warms it, and times calls when asked.

python benches/worker.py MODE THREADS    # requests on standard input, a line each; see serve()
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sides import Side

# What holds both libraries to AVX2.
AVX2 = {
    "LECTORIUM_SIMD": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def resident() -> tuple[int, int]:
    """Bytes this process holds, and held at most since the last reset (or its start)."""
    with contextlib.suppress(OSError):
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024
    # Other systems tell the peak alone, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, peak


def reset_peak() -> None:
    """Linux forgets the peak of this process, so that importing does not count."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        print(f"peaks of memory include importing, as they cannot be reset: {error}", file=sys.stderr)


def timed(call: Callable[[], Any], seconds: float, least: int) -> list[float]:
    """Times of at least ``least`` calls, going on for about ``seconds``."""
    times: list[float] = []
    start = now = time.perf_counter()
    while len(times) < least or (now - start < seconds and len(times) < 5000):
        before = time.perf_counter()
        call()
        now = time.perf_counter()
        times.append(now - before)
    return times


def serve(mode: str, threads: int) -> None:
    """Answers requests ``{case, seconds}`` on standard input; the first one of a case builds and warms it."""
    side = Side(mode)
    side.lib.set_num_threads(threads)
    reset_peak()
    held, _ = resident()
    from cases import CASES

    name, parts = "", {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"held": held}
        try:
            if request["case"] != name:
                name = request["case"]
                side.lib.manual_seed(0)
                built = CASES[name].build(side)
                parts = built if isinstance(built, dict) else {"": built}
                for call in parts.values():
                    timed(call, request["seconds"], 3)
            answer["times"] = {part: timed(call, request["seconds"], 2) for part, call in parts.items()}
            answer["peak"] = resident()[1] - held
        except Exception as error:
            traceback.print_exc()
            answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        print(json.dumps(answer), flush=True)


class Worker:
    """The other end: a process that serves one side."""

    def __init__(self, mode: str, threads: int, simd: str = "", script: str | Path = __file__) -> None:
        environment = os.environ | (AVX2 if simd == "avx2" else {})
        self.process = subprocess.Popen(
            [sys.executable, str(script), mode, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request; a process that died answers with an error."""
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"the process ended with {self.process.wait()}"}

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
