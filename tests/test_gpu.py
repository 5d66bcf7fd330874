"""The GPU's thin slice: there and back, five operations with their gradients, errors for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import require_gpu, sample


@pytest.fixture(autouse=True)
def _a_gpu() -> None:
    require_gpu()


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (0, 3), (33, 65)])
def test_a_tensor_goes_there_and_comes_back_the_same(dtype: str, shape: tuple[int, ...]) -> None:
    a = sample(shape, dtype, -5, 5)
    x = lt.tensor(a).to("gpu")
    assert x.device == lt.device("gpu")
    assert x.is_gpu
    assert not x.is_cpu
    assert (x.shape, x.dtype) == (shape, getattr(lt, dtype))
    back = x.to("cpu")
    assert back.is_cpu
    np.testing.assert_array_equal(back.numpy(), a)
    assert x.to("gpu") is x
    assert lt.equal(x.cpu(), lt.tensor(a).gpu().cpu())


def test_strided_tensors_are_uploaded_as_what_they_show() -> None:
    a = lt.arange(24.0).reshape(4, 6)
    for view in (a.T, a[::2, 1:], a[::-1], a[0].expand(3, 6)):
        assert lt.equal(view.to("gpu").cpu(), view)


OPERATIONS: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "add": (lambda x, y: x + y, [(3, 4), (3, 4)]), "add broadcast": (lambda x, y: x + y, [(3, 4), (4,)]), "mul": (lambda x, y: x * y, [(3, 4), (3, 4)]),
    "mul broadcast": (lambda x, y: x * y, [(3, 1), (1, 4)]), "add a number": (lambda x: x + 2.5, [(5,)]), "mul a number": (lambda x: x * 3, [(5,)]),
    "sub": (lambda x, y: x - y, [(3, 4), (3, 4)]), "div": (lambda x, y: x / y, [(3, 4), (3, 4)]), "relu": (lambda x: x.relu(), [(33, 7)]), "sum": (lambda x: x.sum(), [(33, 65)]),
    "sum over an axis": (lambda x: x.sum(0), [(5, 7)]), "sum over the last": (lambda x: x.sum(-1, keepdim=True), [(5, 7)]), "matmul": (lambda x, y: x @ y, [(17, 33), (33, 9)]),
    "matmul of one": (lambda x, y: x @ y, [(1, 1), (1, 1)]), "chain": (lambda x, y: ((x @ y).relu() * 2 + 1).sum(), [(16, 20), (20, 12)]),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_agrees_with_the_cpu(name: str) -> None:
    f, shapes = OPERATIONS[name]
    arrays = [sample(s, "float32", 0.5, 2, i) for i, s in enumerate(shapes)]
    want = f(*map(lt.tensor, arrays))
    got = f(*[lt.tensor(a).to("gpu") for a in arrays])
    assert got.is_gpu
    assert got.shape == want.shape
    np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["add", "mul", "mul broadcast", "matmul", "sum", "chain"])
def test_gradients_agree_with_the_cpu(name: str) -> None:
    f, shapes = OPERATIONS[name]
    arrays = [sample(s, "float32", 0.5, 2, i) for i, s in enumerate(shapes)]
    grads = []
    for device in ("cpu", "gpu"):
        leaves = [lt.tensor(a, device=device, requires_grad=True) for a in arrays]
        f(*leaves).sum().backward()
        assert all(x.grad.device_type == device for x in leaves)
        grads.append([x.grad.cpu().numpy() for x in leaves])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gradients_flow_through_the_way_there_and_back() -> None:
    x = lt.ones(3, requires_grad=True)
    (x.to("gpu") * 3).to("cpu").sum().backward()
    assert x.grad.is_cpu
    assert x.grad.tolist() == [3.0] * 3


def test_many_operations_wait_for_one_readback() -> None:
    x = lt.ones(64, device="gpu")
    for _ in range(600):
        x = x + 1
    assert x.cpu().tolist() == [601.0] * 64
    lt.gpu.synchronize()
    assert isinstance(lt.gpu.name(), str)


OTHERS: dict[str, Any] = {
    "exp": lambda x: x.exp(), "softmax": lambda x: lt.softmax(x, 0), "sort": lambda x: x.sort(), "cumsum": lambda x: x.cumsum(0), "gather": lambda x: x.gather(0, lt.zeros(1, dtype=lt.int64)),
    "mean": lambda x: x.mean(), "max": lambda x: x.amax(), "cat": lambda x: lt.cat([x, x]), "topk": lambda x: x.topk(1), "tanh": lambda x: x.tanh(), "nonzero": lambda x: x.nonzero(),
    "pow": lambda x: x**3, "sigmoid": lambda x: x.sigmoid(), "fill_": lambda x: x.fill_(1), "flip": lambda x: x.flip(0),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_operation_is_an_error_that_names_it(name: str) -> None:
    x = lt.ones(4, device="gpu")
    with pytest.raises(RuntimeError, match=rf"(?i)({name.rstrip('_')}|a?{name}).*(gpu|cpu)"):
        OTHERS[name](x)


def test_operands_on_two_devices_are_an_error() -> None:
    for f in (lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x @ y):
        with pytest.raises(RuntimeError, match="(?i)device|gpu"):
            f(lt.ones(2, 2, device="gpu"), lt.ones(2, 2))


def test_what_the_gpu_cannot_hold_is_refused() -> None:
    with pytest.raises((TypeError, RuntimeError), match="float64"):
        lt.ones(2, dtype=lt.float64).to("gpu")
    with pytest.raises((ValueError, RuntimeError, OverflowError), match="int32|range"):
        lt.tensor([2**40]).to("gpu")
    with pytest.raises(RuntimeError, match="gpu|GPU|cpu"):
        lt.ones(2, device="gpu").numpy()
    assert lt.ones(2, device="gpu").numpy(force=True).tolist() == [1.0, 1.0]


def test_a_tensor_on_the_gpu_prints_itself_and_its_device() -> None:
    assert repr(lt.ones(2, device="gpu")) == "tensor([1., 1.], device='gpu')"
