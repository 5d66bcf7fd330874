"""Matrix products and a chain of elementwise operations on the GPU; beside PyTorch's where it has one.

python benches/gpu.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lectorium as lt

SIZES = (1024, 2048, 4096)
CHAIN = 50
ELEMENTS = 1 << 24


def seconds(work: Callable[[], Any], rounds: int = 5) -> float:
    """The best of some rounds, after one to warm up. `work` waits for its result."""
    work()
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def measure(who: str, rand: Callable[..., Any], wait: Callable[[], None]) -> None:
    for n in SIZES:
        a, b = rand(n, n), rand(n, n)

        def products(a: Any = a, b: Any = b) -> None:
            for _ in range(10):
                a.matmul(b)
            wait()

        took = seconds(products) / 10
        print(f"{who:10} matmul {n:5}^3 {took * 1e3:9.3f} ms {2 * n**3 / took / 1e12:8.2f} TFLOP/s")
    x = rand(ELEMENTS)

    def chain() -> None:
        y = x
        for _ in range(CHAIN):
            y = y * 1.0001 + 0.5
        wait()

    took = seconds(chain) / (2 * CHAIN)
    print(f"{who:10} elementwise 16M {took * 1e3:7.3f} ms {8 * ELEMENTS / took / 1e9:8.0f} GB/s")


def main() -> None:
    if not lt.gpu.is_available():
        raise SystemExit("no GPU: neither a card nor a software Vulkan driver was found")
    print(lt.gpu.name())
    measure("lectorium", lambda *shape: lt.rand(*shape).to("gpu"), lt.gpu.synchronize)
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        measure("PyTorch", lambda *shape: torch.rand(*shape, device="cuda"), torch.cuda.synchronize)


if __name__ == "__main__":
    main()
