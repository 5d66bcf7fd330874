"""What every operation costs beside its kernel: threads that it need not wake, memory that it need not keep."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

import lectorium as lt

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc or sets the affinity")


def printed(code: str, **environment: str) -> str:
    """What a program prints in a Python of its own."""
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **environment},
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@needs_linux
def test_tiny_operations_start_no_thread_and_a_large_one_does() -> None:
    code = """
        import os, time
        import lectorium as lt
        from lectorium import nn

        def workers():
            names = [open(f"/proc/self/task/{t}/comm").read() for t in os.listdir("/proc/self/task")]
            return sum(name.startswith("lectorium") for name in names)

        lt.set_num_threads(2)
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.BatchNorm1d(18), nn.Linear(18, 10))
        optimizer = lt.optim.Adam(net.parameters())
        x, y = lt.randn(4, 1, 8, 8), lt.tensor([1, 2, 3, 4])
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y) + (x.exp().sum() + x.softmax(-1).var())
            loss.backward()
            optimizer.step()
        before = workers()
        # A new thread takes its name when it first runs, which may be after the kernel.
        for _ in range(200):
            lt.ones(2_000_000).exp()
            if workers():
                break
            time.sleep(0.01)
        print(before, workers())
    """
    assert printed(code) == "0 1"


@needs_linux
def test_the_number_of_threads_is_what_affinity_leaves() -> None:
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import lectorium as lt
        print(lt.get_num_threads())
    """
    environment = {"LECTORIUM_NUM_THREADS": ""}
    assert printed(code, **environment) == "1"


def test_the_environment_sets_the_number_of_threads() -> None:
    assert printed("import lectorium as lt; print(lt.get_num_threads())", LECTORIUM_NUM_THREADS="3") == "3"


def test_a_hundred_batch_sizes_share_their_memory_and_soon_take_no_more() -> None:
    code = """
        import lectorium as lt
        from lectorium import nn
        net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))

        def all_sizes():
            before = lt.memory.stats()["misses"]
            for batch in range(100, 200):
                net(lt.randn(batch, 256)).sum().backward()
                net.zero_grad()
            return lt.memory.stats()["misses"] - before

        first, second = all_sizes(), all_sizes()
        found = lt.memory.stats()
        print(first, second, found["cached"] / found["peak"])
    """
    first, second, kept = map(float, printed(code).split())
    assert first <= 60  # of about 700 blocks
    assert second <= 5
    assert kept < 8


def test_one_graph_of_a_million_nodes_is_dropped_without_recursion() -> None:
    code = """
        import lectorium as lt
        x = lt.ones(1, requires_grad=True)
        y = x
        for _ in range(500_000):
            y = y + 1
        for _ in range(500_000):
            y = y * y  # saved values lead back too
        del y
        print("dropped")
    """
    assert printed(code) == "dropped"


def test_gradients_that_meet_are_added_where_nobody_else_sees_them() -> None:
    x = lt.randn(50_000, requires_grad=True)
    y = x * 1.0
    kept: list[lt.Tensor] = []
    outs = [y * float(i) for i in range(1, 5)]
    for out in outs:
        out.register_hook(kept.append)  # a hook may keep what it saw
    seed = lt.ones(50_000)
    lt.autograd.backward(outs, [seed] * 4)
    assert x.grad is not None
    assert lt.equal(x.grad, lt.full((50_000,), 10.0))
    assert all(lt.equal(g, lt.ones(50_000)) for g in (*kept, seed))
    total = y * 1.0 + y * 1.0 + y * 1.0
    through = lt.autograd.grad(total.sum(), [y, x])
    assert all(g is not None and lt.equal(g, lt.full((50_000,), 3.0)) for g in through)
