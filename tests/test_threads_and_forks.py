"""Several threads at once, forked processes, and Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = lt.get_num_threads()
    yield
    lt.set_num_threads(before)


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """All functions in threads of their own, started together."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        start.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [f.result(120) for f in [pool.submit(run, w) for w in works]]


# ---------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_kernels_called_from_several_threads_give_right_results(threads: int) -> None:
    lt.set_num_threads(threads)
    draw = np.random.RandomState(0)
    a = draw.randn(4, 150, 150)
    t = [lt.tensor(m) for m in a]

    def work(i: int) -> bool:
        right = True
        for _ in range(15):
            right &= np.allclose((t[i] @ t[i]).numpy(), a[i] @ a[i])
            big = lt.arange(200_000) + i
            right &= big.sum().item() == 199_999 * 100_000 + 200_000 * i
            right &= bool((big.float().exp().isinf() == (big > 88)).all())
        return right

    assert at_once([lambda i=i: work(i) for i in range(4)]) == [True] * 4


def test_backward_runs_in_several_threads_on_graphs_of_their_own() -> None:
    weight = lt.randn(64, 64, requires_grad=True)

    def work(seed: int) -> list[float]:
        g = lt.Generator()
        g.manual_seed(seed)
        for _ in range(20):
            x = lt.randn(100, 64, generator=g)
            (w,) = lt.autograd.grad((x @ weight).tanh().square().sum(), weight)
        return w.flatten()[:5].tolist()

    alone = [work(i) for i in range(4)]
    assert at_once([lambda i=i: work(i) for i in range(4)]) == alone


def test_two_threads_may_go_back_through_one_graph() -> None:
    x = lt.ones(50_000, requires_grad=True)
    shared = (x * 2).sin()
    for _ in range(20):
        outs = [(shared * (i + 1)).sum() for i in range(4)]
        grads = at_once([lambda o=o: lt.autograd.grad(o, x, retain_graph=True)[0][0].item() for o in outs])
        assert np.allclose(np.array(grads) / grads[0], [1, 2, 3, 4])


def test_recording_is_off_only_in_the_thread_that_turned_it_off() -> None:
    x = lt.ones(2, requires_grad=True)
    switched, looked = threading.Event(), threading.Event()

    def quiet() -> bool:
        with lt.no_grad():
            switched.set()
            looked.wait(30)
            return (x * 2).requires_grad

    def loud() -> bool:
        switched.wait(30)
        made = (x * 2).requires_grad
        looked.set()
        return made

    assert at_once([quiet, loud]) == [False, True]


def test_the_number_of_threads_may_change_while_others_compute() -> None:
    a = lt.randn(300, 300)
    want = a @ a
    stop = threading.Event()

    def change() -> int:
        for i in range(200):
            lt.set_num_threads(i % 4 + 1)
            (lt.ones(100_000) + 1).sum()
        stop.set()
        return 0

    def compute() -> int:
        wrong = 0
        while not stop.is_set():
            wrong += not lt.equal(a @ a, want)  # the same bits for any number of threads
        return wrong

    assert at_once([change, compute, compute]) == [0, 0, 0]


def test_random_numbers_do_not_depend_on_the_number_of_threads() -> None:
    drawn = []
    for threads in (1, 3):
        lt.set_num_threads(threads)
        lt.manual_seed(7)
        drawn.append(lt.randn(100_000).tolist())
    assert drawn[0] == drawn[1]


def test_other_threads_go_on_during_a_big_kernel() -> None:
    a = lt.randn(1500, 1500)
    a @ a
    done = threading.Event()
    turns: list[float] = []

    def count() -> None:
        while not done.is_set():
            turns.append(time.perf_counter())
            time.sleep(0.001)

    t = threading.Thread(target=count)
    t.start()
    begin = time.perf_counter()
    spans = []
    for _ in range(3):
        one = time.perf_counter()
        a @ a
        spans.append((one, time.perf_counter()))
    done.set()
    t.join()
    longest = max(spans, key=lambda s: s[1] - s[0])
    within = sum(longest[0] < at < longest[1] for at in turns)
    assert within >= 3, (within, time.perf_counter() - begin)


def test_the_number_of_threads_is_checked() -> None:
    for bad in (0, -1, 10_000):
        with pytest.raises(ValueError, match="set_num_threads: expected 1 to 256"):
            lt.set_num_threads(bad)


def test_an_error_in_one_thread_does_not_stop_the_others() -> None:
    def wrong() -> str:
        try:
            lt.ones(300, 200) @ lt.ones(300, 200)
        except lt.ShapeError:
            return "refused"
        return "done"

    assert at_once([wrong, lambda: (lt.ones(300, 200) @ lt.ones(200, 1)).sum().item(), wrong]) == [
        "refused",
        60_000.0,
        "refused",
    ]


# ---------------------------------------------------------------- forks


def use_everything() -> tuple[float, list[float]]:
    """A parallel matmul, big elementwise work and a backward pass."""
    lt.manual_seed(3)
    a = lt.randn(256, 256, requires_grad=True)
    out = ((a @ a) / 16).sin()
    out.sum().backward()
    return out.sum().item(), a.grad[0, :4].tolist()


def in_child(work: Callable[[], bool]) -> int:
    """The exit status of a forked child: 0 if the work is right there, 99 if it hangs."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(60)
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 4])
def test_a_forked_child_computes_as_its_parent_did(threads: int) -> None:
    lt.set_num_threads(threads)
    want = use_everything()
    assert in_child(lambda: use_everything() == want) == 0
    assert in_child(lambda: in_child(lambda: use_everything() == want) == 0) == 0
    assert use_everything() == want


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forking_while_other_threads_compute_leaves_no_lock_held() -> None:
    lt.set_num_threads(4)
    want = use_everything()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            a = lt.randn(200, 200)
            (a @ a + lt.zeros(200, 200)).sum()

    others = [threading.Thread(target=busy) for _ in range(3)]
    for t in others:
        t.start()
    try:
        codes = [in_child(lambda: use_everything() == want) for _ in range(25)]
    finally:
        stop.set()
        for t in others:
            t.join()
    assert codes == [0] * 25


POOL = """
    import multiprocessing, lectorium as lt

    def double(t):
        return (lt.tensor(t).expand(200_000, len(t)).mean(0) * 2).tolist()

    if __name__ == "__main__":
        lt.randn(300, 300) @ lt.randn(300, 300)
        with multiprocessing.get_context("METHOD").Pool(2) as pool:
            doubled = pool.map_async(double, [[1.0], [2.0, 3.0]]).get(60)
            print(doubled, [t.tolist() for t in pool.map(lt.exp, [lt.zeros(2), lt.zeros(1)])])
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_works_with_every_start_method(method: str, tmp_path: Path) -> None:
    # A program of its own: children of other methods than fork import the main module by name.
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(POOL).replace("METHOD", method))
    assert python(str(program)) == "[[2.0], [4.0, 6.0]] [[1.0, 1.0], [1.0]]"


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_of_a_process_that_used_the_gpu_gets_an_error_or_right_numbers() -> None:
    if not lt.gpu.is_available():
        pytest.skip("no GPU: neither a card nor a software Vulkan driver was found")
    x = lt.ones(1000).to("gpu")
    assert (x + x).sum().item() == 2000

    def work() -> bool:
        assert (lt.ones(100_000) * 2).sum().item() == 200_000  # the CPU works in any case
        try:
            return (x + x).sum().item() == 2000
        except RuntimeError as error:
            return "fork" in str(error)

    assert in_child(work) == 0
    assert (x + x).sum().item() == 2000


# ---------------------------------------------------------------- Ctrl-C


def python(*arguments: str) -> str:
    """What a Python of its own prints."""
    made = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process on Windows")
@pytest.mark.parametrize("work", ["a @ a", "(b.exp() + b).sum()", "(w @ w).sum().backward()"])
def test_ctrl_c_stops_a_loop_of_big_kernels(work: str) -> None:
    code = f"""
        import os, signal, threading, time
        import lectorium as lt
        a, b = lt.randn(600, 600), lt.randn(2_000_000)
        w = lt.randn(300, 300, requires_grad=True)
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        start = time.time()
        try:
            while time.time() - start < 60:
                {work}
        except KeyboardInterrupt:
            print("stopped", time.time() - start < 10)
            (a @ a).sum().item()  # and everything still works
    """
    assert python("-c", textwrap.dedent(code)) == "stopped True"


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process on Windows")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "call",
    [
        "send(); lt.nn.LSTM(8, 1024)(x)",
        "send(); lt.scan(cell, x, h)",
        "y = lt.scan(cell, x, h)[0].sum(); send(); y.backward()",
    ],
)
def test_ctrl_c_stops_a_long_sequence_between_two_steps(call: str, threads: int) -> None:
    steps = 4_000 if "backward" in call else 12_000
    code = f"""
        import os, signal, threading, time
        import lectorium as lt
        lt.set_num_threads({threads})
        w = (lt.randn(1024, 2048) * 0.02).detach()
        w.requires_grad = {"backward" in call}
        h = lt.zeros(1, 1024)
        def cell(x, h):
            for _ in range(3):
                h = lt.tanh((h @ w)[:, :1024] + x[:, :1])
            return h[:, :2], h
        x = lt.randn({steps}, 1, 8)
        lt.scan(cell, x[:2], h)  # recorded and checked
        sent = []
        def kill():
            sent.append(time.time())
            os.kill(os.getpid(), signal.SIGINT)
        def send():
            threading.Timer(0.1, kill).start()
        before = w.clone()
        try:
            with lt.set_grad_enabled({"backward" in call}):
                {call}
            print("ran to its end")
        except KeyboardInterrupt:
            print("stopped", time.time() - sent[0] < 1.0)
        assert (w == before).all() and w.grad is None
        lt.scan(cell, x[:2], h)
        y = lt.nn.LSTM(8, 16)(lt.randn(3, 2, 8))[0]
        assert y.isfinite().all()
    """
    assert python("-c", textwrap.dedent(code)) == "stopped True"
