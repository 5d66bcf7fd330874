"""What the process is started with: SIMD level, threads, imports; forks, threads that call in at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import lectorium as lt

PROGRAM = """
import json, sys, hashlib
import numpy as np
import lectorium as lt
rng = np.random.RandomState(0)
x, y = lt.tensor(rng.uniform(-3, 3, (37, 53)).astype("float32")), lt.tensor(rng.uniform(0.5, 3, (37, 53)).astype("float32"))
a, b = lt.tensor(rng.rand(65, 130).astype("float32")), lt.tensor(rng.rand(130, 67).astype("float32"))
exact = {"add": x + y, "mul": x * y, "div": x / y, "sqrt": y.sqrt(), "max": lt.maximum(x, y), "neg": -x, "abs": x.abs(), "floor": x.floor(), "round": x.round(),
    "lt": x < y, "where": lt.where(x > 0, x, y), "cast": x.long(), "half": x.half(), "relu": x.relu(), "clamp": x.clamp(-1, 1), "int": x.long() * 3 // 2,
    "argmax": x.argmax(1), "sort": x.sort(1).values, "exp": x.exp(), "log": y.log(), "tanh": x.tanh(), "sigmoid": x.sigmoid(), "rand": lt.rand(1000, generator=lt.Generator().manual_seed(3)),
    "randn": lt.randn(1000, generator=lt.Generator().manual_seed(3)), "amax": x.amax(0), "cumsum": x.long().cumsum(1), "erf": lt.erf(x), "sin": lt.sin(x)}
near = {"sum": x.sum(), "rows": x.sum(1), "mean": x.mean(0), "matmul": a @ b, "softmax": lt.softmax(x, 1), "var": x.var(1), "logsumexp": x.logsumexp(0)}
import lectorium.nn.functional as F
near["conv"] = F.conv2d(lt.tensor(rng.rand(2, 5, 9, 9).astype("float32")), lt.tensor(rng.rand(7, 5, 3, 3).astype("float32")), padding=1)
print(json.dumps({"level": lt._core.simd_level(), "threads": lt.get_num_threads(),
    "exact": {k: hashlib.sha256(np.ascontiguousarray(v.numpy()).tobytes()).hexdigest() for k, v in exact.items()},
    "near": {k: v.double().flatten().tolist() for k, v in near.items()}}))
"""


def run(code: str, **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("LECTORIUM_SIMD", "LECTORIUM_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _levels() -> list[str]:
    best = json.loads(run("import json, lectorium as lt; print(json.dumps(lt._core.simd_level()))"))
    order = ["scalar", "neon"] if best == "neon" else ["scalar", "avx2", "avx512"]
    return order[: order.index(best) + 1]


def test_every_simd_level_gives_the_same_elements_and_nearly_the_same_sums() -> None:
    results = {level: json.loads(run(PROGRAM, LECTORIUM_SIMD=level)) for level in _levels()}
    first = results["scalar"]
    for level, got in results.items():
        assert got["level"] == level
        different = [name for name, bits in got["exact"].items() if bits != first["exact"][name]]
        assert different == [], f"{level}: other bits than scalar"
        for name, values in got["near"].items():
            np.testing.assert_allclose(
                values, first["near"][name], rtol=2e-5, atol=2e-5, err_msg=f"{level} {name}"
            )


def test_any_number_of_threads_gives_the_same_bits() -> None:
    code = """
import hashlib, lectorium as lt, lectorium.nn.functional as F
lt.manual_seed(0)
x, w = lt.randn(8, 16, 40, 40, requires_grad=True), lt.randn(32, 16, 3, 3, requires_grad=True)
y = F.max_pool2d(F.conv2d(x, w, padding=1).relu(), 2)
z = lt.softmax(y.flatten(1) @ lt.randn(32 * 400, 100), 1)
loss = z.var() + y.mean() + lt.randn(300000).exp().sum() * 1e-6 + y.logsumexp((0, 2, 3)).sum()
loss.backward()
h = hashlib.sha256()
for t in (y, z, loss, x.grad, w.grad):
    h.update(t.detach().contiguous().numpy().tobytes())
print(lt.get_num_threads(), h.hexdigest())
"""
    seen = [run(code, LECTORIUM_NUM_THREADS=n).split() for n in ("1", "2", "3", "7")]
    assert [s[0] for s in seen] == ["1", "2", "3", "7"]
    assert len({s[1] for s in seen}) == 1


@pytest.mark.parametrize("value", ["quick", "AVX2 ", "neon,avx2"])
def test_an_unknown_simd_level_is_an_error_that_lists_the_levels(value: str) -> None:
    out = run(
        "try:\n    import lectorium\nexcept ImportError as error:\n    print(error)", LECTORIUM_SIMD=value
    )
    assert out.startswith(f"LECTORIUM_SIMD={value}: this machine has scalar")


def test_an_unknown_algorithm_of_convolutions_is_an_error_that_lists_them() -> None:
    out = run(
        "try:\n    import lectorium\nexcept ImportError as error:\n    print(error)",
        LECTORIUM_CONV="nonsense",
    )
    assert out.strip() == "LECTORIUM_CONV=nonsense: expected implicit, winograd or direct"


def test_an_empty_simd_level_means_the_best_one() -> None:
    assert (
        run("import lectorium as lt; print(lt._core.simd_level())", LECTORIUM_SIMD="").strip()
        == _levels()[-1]
    )


@pytest.mark.parametrize("value", ["0", "-3", "many", "", "99999999999999999999"])
def test_a_wrong_number_of_threads_does_not_crash(value: str) -> None:
    out = run(
        "import lectorium as lt; print(lt.ones(300000).sum().item(), lt.get_num_threads())",
        LECTORIUM_NUM_THREADS=value,
    )
    total, threads = out.split()
    assert total == "300000.0"
    assert int(threads) >= 1


def test_the_import_brings_in_no_plotting_command_line_or_onnx_package() -> None:
    out = run(
        "import sys, lectorium; print(*[m for m in ('matplotlib', 'typer', 'rich', 'PIL', 'onnx', 'torch', 'click') if m in sys.modules])"
    )
    assert out.split() == []


def test_the_import_needs_no_numpy() -> None:
    out = run("import sys, lectorium as lt; x = lt.ones(2) + 1; repr(x); print('numpy' in sys.modules)")
    assert out.strip() == "False"


def test_threads_that_call_in_at_once_get_their_own_results() -> None:
    errors: list[Any] = []

    def work(seed: int) -> None:
        try:
            g = lt.Generator().manual_seed(seed)
            w = lt.randn(40, 40, generator=g, requires_grad=True)
            first = None
            for _ in range(15):
                w.grad = None
                y = (w @ w).tanh().sum() + lt.ones(200_000).sum() * 0
                y.backward()
                first = w.grad if first is None else first
                assert lt.equal(w.grad, first)
        except BaseException as error:
            errors.append(error)

    pool = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in pool:
        t.start()
    for t in pool:
        t.join(60)
        assert not t.is_alive()
    assert errors == []


def test_gradient_mode_belongs_to_the_thread() -> None:
    seen: list[bool] = []
    with lt.no_grad():
        t = threading.Thread(target=lambda: seen.append(lt.is_grad_enabled()))
        t.start()
        t.join()
        assert not lt.is_grad_enabled()
    assert seen == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_can_compute() -> None:
    out = run(
        """
import os, lectorium as lt
x = lt.randn(600, 600)
want = (x @ x).sum().item()
lt.ones(1 << 20).exp().sum()
pid = os.fork()
if pid == 0:
    good = abs((x @ x).sum().item() - want) < 1e-3 and lt.ones(1 << 20).sum().item() == 1 << 20
    os._exit(0 if good else 3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), (x @ x).sum().item() == want)
"""
    )
    assert out.split() == ["0", "True"]


def test_multiprocessing_carries_tensors_to_workers_and_back() -> None:
    out = run(
        """
import multiprocessing as mp
import lectorium as lt
def double(t):
    return t * 2
if __name__ == "__main__":
    lt.ones(1 << 18).sum()
    with mp.get_context("fork").Pool(2) as pool:
        print([t.tolist() for t in pool.map(double, [lt.ones(2), lt.arange(3)])])
"""
    )
    assert out.strip() == "[[2.0, 2.0], [0, 2, 4]]"


def test_memory_is_given_back_and_counted() -> None:
    lt.memory.trim()
    before = lt.memory.stats()
    x = lt.ones(1 << 20)
    during = lt.memory.stats()
    assert during["in_use"] - before["in_use"] >= 4 << 20
    del x
    after = lt.memory.stats()
    assert after["in_use"] == before["in_use"]
    lt.memory.trim()
    assert lt.memory.stats()["cached"] == 0
    lt.memory.reset_peak()
    assert lt.memory.stats()["peak"] == lt.memory.stats()["in_use"]


def test_denormals_are_left_as_they_were_outside_of_kernels() -> None:
    lt.ones(1 << 18).exp().sum()
    assert np.float32(1e-40) * np.float32(1) != 0
    assert sys.float_info.min / 2 > 0


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("cuda", "; use device 'gpu' and lectorium.gpu"), ("jit", "; use the model itself"), ("no_such", "$")],
)
def test_a_name_that_is_not_there_tells_what_to_use(name: str, way_out: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'lectorium' has no attribute '{name}'{way_out}"):
        getattr(lt, name)
    assert not hasattr(lt, name)
