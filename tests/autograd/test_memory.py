"""With Python's garbage collector off, training leaves memory flat."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
import weakref

import pytest

import lectorium as lt


def run(code: str) -> str:
    """Runs a program in a Python of its own; what it prints."""
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is Unix's")
def test_a_thousand_training_steps_leave_memory_flat() -> None:
    printed = run(
        """
        import gc, resource
        gc.disable()
        import lectorium as lt
        from lectorium import nn
        lt.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2),
                            nn.Linear(4 * 9, 10), nn.Tanh(), nn.LayerNorm(10))
        optimizer = lt.optim.Adam(net.parameters(), lr=1e-3)
        x, y = lt.randn(8, 1, 8, 8), lt.randint(0, 10, (8,))

        def step():
            optimizer.zero_grad()
            h = net(x)
            h[:, 0].mul_(2)           # a view changed in place
            h.register_hook(lambda g: g * 1.0)
            h.retain_grad()
            loss = nn.functional.cross_entropy(h, y) + (h.exp() * h.sigmoid()).mean() + h.max(1).values.sum()
            loss.backward()
            optimizer.step()
            penalty, = lt.autograd.grad(net(x).square().sum(), list(net.parameters())[0], create_graph=True)
            penalty.square().sum().backward()

        for _ in range(100):
            step()
        lt.memory.trim()
        objects, used = len(gc.get_objects()), lt.memory.stats()["in_use"]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(1000):
            step()
        print(len(gc.get_objects()) - objects, lt.memory.stats()["in_use"] - used,
              resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
        """
    )
    objects, used, resident = map(int, printed.split())
    assert objects < 50
    assert used == 0
    unit = 1024 if sys.platform == "darwin" else 1
    assert resident // unit < 4000  # KB


def test_no_operation_makes_a_cycle() -> None:
    """Nothing is left for the collector after a forward and backward pass through many operations."""
    printed = run(
        """
        import gc
        import lectorium as lt
        from lectorium.nn import functional as F
        x = lt.randn(4, 6, requires_grad=True)
        w = lt.randn(6, 6, requires_grad=True)
        import lectorium.ops as o

        def everything(walk):
            h = x @ w
            outs = [h.exp(), h.tanh(), h.sigmoid(), h.softmax(1), h.log_softmax(1), h.relu(), h.sort(1).values, h.max(1).values,
                    h.topk(2).values, h.cumsum(1), h.cumprod(1), h.std(1), h.norm(dim=1), h.logsumexp(1), h.prod(1), h[:, [0, 2]],
                    h[1:, ::2], h.t(), h.sqrt(), h.pow(2.0), h / 2, lt.cat([h, h]), lt.stack([h, h]), lt.einsum("ij,kj->ik", h, h),
                    F.layer_norm(h, (6,)), F.gelu(h), F.dropout(h, 0.5), lt.where(h > 0, h, -h), h.gather(1, lt.zeros(4, 1).long()),
                    F.batch_norm(h, None, None, training=True), h.clone().mul_(2), h.unfold(1, 2, 2), lt.median(h), h.var()]
            y = h * 1
            y[0].sin_()
            y[:, 1] = h[:, 0]
            outs.append(y)
            if walk:
                sum(t.nan_to_num().sum() for t in outs).backward()

        for walk in (False, True):
            everything(walk)
            gc.collect()
            gc.disable()
            everything(walk)
            print(sum(isinstance(t, lt.Tensor) for t in gc.get_objects()), gc.collect())
            gc.enable()
        """
    )
    (left, garbage), (left_after, garbage_after) = [map(int, line.split()) for line in printed.splitlines()]
    assert garbage == 0
    assert garbage_after == 0
    assert left <= 2
    assert left_after <= 4  # the leaves and their gradients


def test_an_exception_in_backward_leaves_nothing_behind() -> None:
    x = lt.ones(1000, requires_grad=True)
    y = x.exp()
    seen = weakref.ref(y)

    def fail(g: lt.Tensor) -> None:
        raise KeyError("stop")

    y.register_hook(fail)
    with contextlib.suppress(KeyError):
        y.sum().backward()
    del y
    assert seen() is None
    assert lt.is_grad_enabled()


def test_a_graph_keeps_only_what_its_gradients_need() -> None:
    x = lt.ones(100_000, requires_grad=True)
    start = lt.memory.stats()["in_use"]
    y = x
    for _ in range(10):
        y = (y + 1.0) * 2.0 - 0.5
    assert lt.memory.stats()["in_use"] - start <= 500_000
    for _ in range(10):
        y = y.relu()
    assert lt.memory.stats()["in_use"] - start >= 10 * 400_000
    del y
    assert lt.memory.stats()["in_use"] == start
