"""Memory shared with other libraries through DLPack, both ways."""

from __future__ import annotations

import ctypes
import gc
import resource
import weakref
from typing import Any

import numpy as np
import pytest

import lectorium as lt

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
VERSION = (1, 0)


def tensor_of(name: str) -> Any:
    return lt.arange(6).reshape(2, 3).to(getattr(lt, name))


def capsule_name(capsule: Any) -> str:
    get = ctypes.pythonapi.PyCapsule_GetName
    get.restype, get.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return get(capsule).decode()


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


class ManagedVersioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", DELETER), ("flags", ctypes.c_uint64), ("tensor", DLTensor),
    ]  # fmt: skip


class Producer:
    """A hand-made producer of capsules, which counts the calls of its deleter."""

    def __init__(self, array: np.ndarray, versioned: bool = True, **fields: Any) -> None:
        self.deleted = 0
        self.array = array
        n = array.ndim
        self.shape = (ctypes.c_int64 * max(n, 1))(*array.shape)
        self.strides = (ctypes.c_int64 * max(n, 1))(*[s // array.itemsize for s in array.strides])
        self.deleter = DELETER(lambda _: setattr(self, "deleted", self.deleted + 1))
        kind = ManagedVersioned if versioned else Managed
        self.managed = kind(deleter=self.deleter)
        if versioned:
            self.managed.major = fields.pop("major", 1)
            self.managed.flags = fields.pop("flags", 0)
        given = {
            "data": array.ctypes.data, "device_type": 1, "ndim": n, "code": 2, "bits": array.itemsize * 8, "lanes": 1,
            "shape": self.shape, "strides": self.strides,
        }  # fmt: skip
        for name, value in {**given, **fields}.items():
            setattr(self.managed.tensor, name, value)
        self.name = b"dltensor_versioned" if versioned else b"dltensor"

    def capsule(self) -> Any:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), self.name, None)


# ---------------------------------------------------------------- with other libraries


@pytest.mark.parametrize("name", DTYPES)
def test_numpy_and_a_tensor_see_each_others_changes(name: str) -> None:
    t = tensor_of(name)
    a = np.from_dlpack(t)
    assert a.dtype.name == name
    assert a.shape == (2, 3)
    np.testing.assert_array_equal(a, t.numpy())
    back = lt.from_dlpack(a)
    assert back.dtype == t.dtype
    assert back.data_ptr() == t.data_ptr()


@pytest.mark.parametrize("name", [*DTYPES, "bfloat16"])
def test_torch_and_a_tensor_share_memory_both_ways(name: str) -> None:
    torch = pytest.importorskip("torch")
    t = tensor_of(name)
    theirs = torch.from_dlpack(t)
    assert str(theirs.dtype) == f"torch.{name}"
    assert theirs.data_ptr() == t.data_ptr()
    theirs[0, 0] = 1
    assert t[0, 0].item() == 1
    ours = lt.from_dlpack(theirs)
    ours[1, 2] = 0
    assert theirs[1, 2].item() == 0
    assert ours.dtype == t.dtype


@pytest.mark.parametrize("view", ["t", "step", "reversed", "expanded", "offset", "scalar", "empty"])
def test_strides_and_offsets_survive_the_exchange(view: str) -> None:
    torch = pytest.importorskip("torch")
    base = lt.arange(12.0).reshape(3, 4)
    v = {
        "t": base.t(), "step": base[::2, 1::2], "reversed": base[::-1], "expanded": base[:1].expand(3, 4),
        "offset": base[1:, 2:], "scalar": base[1, 1], "empty": base[:0],
    }[view]  # fmt: skip
    np.testing.assert_array_equal(np.from_dlpack(v), v.numpy())
    if view != "reversed":  # PyTorch has no negative strides
        np.testing.assert_array_equal(torch.from_dlpack(v).numpy(), v.numpy())
    again = lt.from_dlpack(v)
    assert again.tolist() == v.tolist()
    assert again.shape == v.shape
    theirs = np.arange(12.0).reshape(3, 4)[:, ::-1]
    ours = lt.from_dlpack(theirs)
    assert ours.tolist() == theirs.tolist()
    ours[0, 0] = 50.0
    assert theirs[0, 0] == 50.0


def test_a_read_only_array_gives_a_tensor_that_refuses_changes() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    t = lt.from_dlpack(a)
    assert t.tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="read-only"):
        t.add_(1)
    assert not np.from_dlpack(t).flags.writeable
    with pytest.raises(BufferError, match="read-only memory, which a legacy capsule cannot say"):
        t.__dlpack__()
    assert np.from_dlpack(lt.zeros(2)).flags.writeable


def test_copy_true_gives_memory_of_its_own_and_copy_false_shares() -> None:
    a = np.zeros(3)
    assert lt.from_dlpack(a, copy=False).data_ptr() == a.ctypes.data
    copied = lt.from_dlpack(a, copy=True)
    a[0] = 1
    assert copied.tolist() == [0, 0, 0]
    t = lt.zeros(3)
    assert np.from_dlpack(t, copy=True).ctypes.data != t.data_ptr()
    assert np.from_dlpack(t, copy=False).ctypes.data == t.data_ptr()


def test_a_copied_capsule_says_so() -> None:
    capsule = lt.zeros(3).__dlpack__(max_version=VERSION, copy=True)
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    managed = ManagedVersioned.from_address(get(capsule, b"dltensor_versioned"))
    assert (managed.major, managed.flags) == (1, 2)


def test_the_consumers_version_chooses_the_kind_of_capsule() -> None:
    t = lt.zeros(1)
    for version, name in [
        (None, "dltensor"),
        ((0, 8), "dltensor"),
        ((1, 0), "dltensor_versioned"),
        ((2, 3), "dltensor_versioned"),
    ]:
        assert capsule_name(t.__dlpack__(max_version=version)) == name
    assert t.__dlpack_device__() == (1, 0)


def test_an_object_that_knows_no_max_version_is_asked_the_old_way() -> None:
    class Old:
        def __init__(self) -> None:
            self.tensor = lt.arange(3)

        def __dlpack__(self, stream: Any = None) -> Any:
            return self.tensor.__dlpack__()

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    old = Old()
    assert lt.from_dlpack(old).data_ptr() == old.tensor.data_ptr()
    assert lt.from_dlpack(old, copy=True).data_ptr() != old.tensor.data_ptr()
    assert lt.tensor(old).tolist() == [0, 1, 2]


def test_the_functions_stand_under_pytorchs_path_too() -> None:
    t = lt.arange(3)
    assert lt.utils.dlpack.from_dlpack(lt.utils.dlpack.to_dlpack(t)).data_ptr() == t.data_ptr()


# ---------------------------------------------------------------- lifetimes


@pytest.mark.parametrize("version", [None, VERSION])
def test_a_capsule_is_consumed_once(version: Any) -> None:
    capsule = lt.arange(3).__dlpack__(max_version=version)
    t = lt.from_dlpack(capsule)
    assert capsule_name(capsule).startswith("used_dltensor")
    with pytest.raises(RuntimeError, match="used before"):
        lt.from_dlpack(capsule)
    del capsule
    assert t.tolist() == [0, 1, 2]


@pytest.mark.parametrize("versioned", [True, False])
def test_the_producers_deleter_runs_once_when_the_last_view_is_gone(versioned: bool) -> None:
    p = Producer(np.arange(6.0).reshape(2, 3), versioned)
    t = lt.from_dlpack(p.capsule())
    view = t[1]
    del t
    assert p.deleted == 0
    assert view.tolist() == [3, 4, 5]
    del view
    assert p.deleted == 1


@pytest.mark.parametrize("versioned", [True, False])
def test_an_empty_import_gives_its_memory_back_at_once(versioned: bool) -> None:
    p = Producer(np.zeros((0, 3)), versioned, data=None)
    assert lt.from_dlpack(p.capsule()).shape == (0, 3)
    assert p.deleted == 1


def test_a_refused_capsule_still_belongs_to_its_producer() -> None:
    p = Producer(np.zeros(2), device_type=2)
    capsule = p.capsule()
    with pytest.raises(BufferError, match="CUDA"):
        lt.from_dlpack(capsule)
    assert p.deleted == 0
    assert capsule_name(capsule) == "dltensor_versioned"


def test_a_shared_tensor_keeps_the_other_library_alive_and_the_reverse() -> None:
    a = np.arange(4.0)
    seen = weakref.ref(a)
    t = lt.from_dlpack(a)
    del a
    gc.collect()
    assert seen() is not None
    assert t.tolist() == [0, 1, 2, 3]
    del t
    assert seen() is None
    array = np.from_dlpack(lt.arange(3))
    gc.collect()
    assert array.tolist() == [0, 1, 2]


@pytest.mark.parametrize("version", [None, VERSION])
@pytest.mark.parametrize("consume", [True, False])
def test_a_thousand_exchanges_leave_memory_flat(version: Any, consume: bool) -> None:
    def once() -> None:
        capsule = lt.zeros(50_000).__dlpack__(max_version=version)
        if consume:
            lt.from_dlpack(capsule)
        np.from_dlpack(lt.from_dlpack(np.zeros(50_000)))

    for _ in range(50):
        once()
    used, peak = lt.memory.stats()["in_use"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        once()
    assert lt.memory.stats()["in_use"] == used
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 20_000  # KB; one leak a round: 600 MB


def test_memory_that_others_may_write_never_becomes_a_gradient() -> None:
    g = lt.ones(3)
    shared = np.from_dlpack(g)
    x = lt.zeros(3, requires_grad=True)
    (x * 1).backward(g)
    shared[0] = 100
    assert x.grad.tolist() == [1, 1, 1]


def test_a_view_from_elsewhere_goes_through_autograd() -> None:
    a = np.array([1.0, 2.0])
    x = lt.from_dlpack(a).requires_grad_()
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]


# ---------------------------------------------------------------- what cannot be shared


def test_strides_may_be_missing_and_the_byte_offset_counts() -> None:
    p = Producer(np.arange(6.0).reshape(2, 3), versioned=False, strides=None)
    assert lt.from_dlpack(p.capsule()).tolist() == [[0, 1, 2], [3, 4, 5]]
    p = Producer(np.arange(4.0)[:3], byte_offset=8)
    assert lt.from_dlpack(p.capsule()).tolist() == [1, 2, 3]
    p = Producer(np.array(5.0), shape=None, strides=None)
    assert lt.from_dlpack(p.capsule()).item() == 5


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"device_type": 2}, BufferError, "CUDA.*copy it to the CPU"),
        ({"device_type": 7}, BufferError, "Vulkan"),
        ({"device_type": 99}, BufferError, "99"),
        ({"code": 5, "bits": 128}, TypeError, "complex128 have no dtype"),
        ({"bits": 128}, TypeError, "float128"),
        ({"code": 17, "bits": 4}, TypeError, "have no dtype"),
        ({"lanes": 4}, TypeError, "vectors of 4"),
        ({"byte_offset": 3}, BufferError, "not aligned to its elements of 8 bytes"),
        ({"data": None}, BufferError, "no memory"),
        ({"ndim": -1}, BufferError, "-1 axes"),
        ({"shape": None}, BufferError, "no sizes"),
        ({"shape": (ctypes.c_int64 * 1)(-3)}, BufferError, "must not be negative"),
        ({"shape": (ctypes.c_int64 * 1)(2**62)}, MemoryError, "more elements"),
        ({"strides": (ctypes.c_int64 * 1)(2**62)}, BufferError, "reaches further"),
        ({"major": 2}, BufferError, "version 2.0"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_a_reason(
    fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    p = Producer(np.zeros(4), **fields)
    with pytest.raises(error, match=text):
        lt.from_dlpack(p.capsule())
    assert p.deleted == 0


def test_a_gradient_cannot_cross_so_the_tensor_must_be_detached() -> None:
    x = lt.zeros(2, requires_grad=True)
    with pytest.raises(BufferError, match="requires gradients.*detach"):
        x.__dlpack__()
    assert np.from_dlpack(x.detach()).tolist() == [0, 0]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="__dlpack__ or a capsule"):
        lt.from_dlpack([1, 2])
    with pytest.raises(ValueError, match="stream must be None"):
        lt.zeros(1).__dlpack__(stream=3)
    with pytest.raises(BufferError, match="device"):
        lt.zeros(1).__dlpack__(dl_device=(2, 0))

    class Elsewhere:
        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError("not asked")

        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    with pytest.raises(BufferError, match="CUDA"):
        lt.from_dlpack(Elsewhere())


def test_an_error_of_the_producer_reaches_the_caller() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(BufferError, match="require gradient"):
        lt.from_dlpack(torch.zeros(2, requires_grad=True))


def test_memory_of_the_gpu_is_not_shared() -> None:
    if not lt.gpu.is_available():
        pytest.skip("no GPU: neither a card nor a software Vulkan driver was found")
    t = lt.ones(2).to("gpu")
    for ask in (t.__dlpack__, t.__dlpack_device__, lambda: lt.from_dlpack(t), lambda: np.from_dlpack(t)):
        with pytest.raises(BufferError, match=r'move the tensor with \.to\("cpu"\) first'):
            ask()
    assert lt.from_dlpack(lt.ones(2), device="gpu").is_gpu
    with pytest.raises(ValueError, match="needs a copy"):
        lt.from_dlpack(lt.ones(2), device="gpu", copy=False)
