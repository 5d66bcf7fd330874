"""Module: what assigning, walking, converting, copying and calling do."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest

import lectorium as lt
from lectorium import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, groups=2))
        self.fc = nn.Linear(8, 3)
        self.scale = nn.Parameter(lt.ones(1))
        self.register_buffer("count", lt.zeros(1))
        self.register_buffer("scratch", lt.zeros(1), persistent=False)

    def forward(self, x: lt.Tensor) -> lt.Tensor:
        return self.fc(self.features(x).flatten(1)) * self.scale


def test_assigned_parameters_buffers_and_modules_are_registered_in_order() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias",
        "fc.weight", "fc.bias",
    ]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == ["count", "scratch"]
    assert [n for n, _ in net.named_children()] == ["features", "fc"]
    assert [n for n, _ in net.named_modules()] == [
        "",
        "features",
        "features.0",
        "features.1",
        "features.2",
        "fc",
    ]
    assert "scratch" not in net.state_dict()
    assert list(net.parameters(recurse=False)) == [net.scale]
    assert {"fc", "scale", "count"} <= set(dir(net))


def test_tied_parameters_and_shared_modules_come_once_but_are_saved_under_both_names() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight", "0.bias", "1.weight", "1.bias",
    ]  # fmt: skip
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    shared = nn.ReLU()
    twice = nn.Sequential(shared, shared)
    assert [n for n, _ in twice.named_modules()] == ["", "0"]
    assert len(twice) == 2


def test_a_name_is_one_thing_at_a_time() -> None:
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(lt.zeros(1))
    assert list(dict(m.named_parameters())) == ["x"]
    with pytest.raises(TypeError, match="cannot assign ReLU as parameter 'x'"):
        m.x = nn.ReLU()
    del m.x
    m.x = nn.ReLU()
    assert not list(m.parameters())
    assert [n for n, _ in m.named_children()] == ["x"]
    m.x = None
    assert m.x is None
    del m.x
    assert not hasattr(m, "x")


def test_a_plain_tensor_is_an_attribute_and_no_parameter() -> None:
    m = nn.Module()
    m.t = lt.zeros(2)
    assert not list(m.parameters())
    assert not list(m.buffers())
    m.register_buffer("b", lt.zeros(2))
    m.b = lt.ones(2)
    assert m.state_dict()["b"].tolist() == [1.0, 1.0]
    m.kept = nn.Buffer(lt.zeros(1), persistent=False)
    assert [n for n, _ in m.named_buffers()] == ["b", "kept"]
    assert list(m.state_dict()) == ["b"]


def test_wrong_assignments_say_what_was_expected() -> None:
    m = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign Tensor as parameter 'weight'"):
        m.weight = lt.zeros(2, 2)
    with pytest.raises(TypeError, match="cannot assign int as child module '0'"):
        nn.Sequential(m).__setattr__("0", 3)
    with pytest.raises(KeyError, match=r"parameter name can.*t contain"):
        m.register_parameter("a.b", nn.Parameter(lt.zeros(1)))
    with pytest.raises(KeyError, match=r"module name can.*t be empty"):
        m.add_module("", nn.ReLU())
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        m.register_buffer("forward", lt.zeros(1))
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        m.add_module("x", 3)
    with pytest.raises(TypeError, match="cannot assign 'Tensor' object to parameter 'p'"):
        m.register_parameter("p", lt.zeros(1))
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        m.train(1)
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'nothing'"):
        _ = m.nothing
    with pytest.raises(TypeError, match=r"Parameter: expected a Tensor, got list"):
        nn.Parameter([1.0])
    with pytest.raises(NotImplementedError, match="must define forward"):
        nn.Module()(1)


def test_a_forgotten_super_init_is_named() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"cannot assign module 'fc' before .* super\(\).__init__\(\)"):
        Bad()

    class Late(nn.Module):
        def __init__(self) -> None:
            self.size = 3

    with pytest.raises(AttributeError, match=r"Late: Module.__init__\(\) was not called"):
        list(Late().parameters())
    with pytest.raises(AttributeError, match="cannot assign parameters 'w' before"):
        Late().w = nn.Parameter(lt.zeros(1))


def test_paths_find_modules_parameters_and_buffers_and_say_what_is_missing() -> None:
    net = Net()
    assert net.get_submodule("features.2") is net.features[2]
    assert net.get_submodule("") is net
    assert net.get_parameter("features.0.bias") is net.features[0].bias
    assert net.get_buffer("count") is net.count
    with pytest.raises(
        AttributeError, match=r"Sequential has no module '7' \(of 'features.7'\); it has: 0, 1, 2"
    ):
        net.get_submodule("features.7")
    with pytest.raises(AttributeError, match="Linear has no parameter 'w'"):
        net.get_parameter("fc.w")
    with pytest.raises(AttributeError, match="Net has no buffer 'fc'"):
        net.get_buffer("fc")
    net.set_submodule("features.1", nn.Tanh())
    assert isinstance(net.features[1], nn.Tanh)


def test_train_and_eval_reach_every_module() -> None:
    net = Net().eval()
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())


def test_to_converts_floats_and_keeps_the_parameter_objects_and_their_gradients() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net(lt.randn(4, 2)).sum().backward()
    net.double()
    assert net[0].weight is weight
    assert weight.dtype == lt.float64
    assert weight.grad.dtype == lt.float64
    assert weight.requires_grad
    assert weight.is_leaf
    assert net[1].running_mean.dtype == lt.float64
    assert net[1].num_batches_tracked.dtype == lt.int64
    assert net(lt.randn(4, 2, dtype=lt.float64)).dtype == lt.float64
    assert net.float()[0].weight.dtype == lt.float32
    assert net.half()[0].weight.dtype == lt.float16
    assert net.to(lt.zeros(1, dtype=lt.float64)).bfloat16()[0].weight.dtype == lt.bfloat16
    assert net.to("cpu", lt.float32)[0].weight.dtype == lt.float32
    with pytest.raises(TypeError, match="only accept floating point dtypes"):
        net.to(lt.int64)
    with pytest.raises(RuntimeError, match="'cpu' or 'gpu'"):
        net.to("tpu")
    with pytest.raises(TypeError, match="expected a device, a dtype or a tensor, got int"):
        net.to(3)


def test_gradients_are_forgotten_or_zeroed() -> None:
    net = nn.Linear(2, 1)
    net(lt.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.weight.grad.tolist() == [[0.0, 0.0]]
    net.zero_grad()
    assert net.weight.grad is None
    assert not net.requires_grad_(False).weight.requires_grad
    assert not net(lt.ones(1, 2)).requires_grad


def test_apply_visits_children_first() -> None:
    names: list[str] = []
    Net().apply(lambda m: names.append(type(m).__name__))
    assert names == ["Conv2d", "ReLU", "Conv2d", "Sequential", "Linear", "Net"]


def test_deepcopy_and_pickle_keep_parameters_values_and_ties() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[1].weight = net[0].weight
    net[0].bias.requires_grad = False
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(twin[0].weight) is nn.Parameter
        assert twin[1].weight is twin[0].weight
        assert twin[0].weight is not net[0].weight
        assert [p.requires_grad for p in twin[0].parameters()] == [True, False]
        for (k, a), b in zip(net.state_dict().items(), twin.state_dict().values(), strict=True):
            assert a.tolist() == b.tolist(), k
        with lt.no_grad():
            twin[0].weight.zero_()
        assert bool(net[0].weight.abs().sum() > 0)


def test_a_parameter_aliases_the_tensor_it_is_made_of() -> None:
    t = lt.zeros(2)
    p = nn.Parameter(t)
    t[0] = 5
    assert p.tolist() == [5.0, 0.0]
    assert p.is_leaf
    assert not nn.Parameter(t, requires_grad=False).requires_grad
    assert nn.Parameter().numel() == 0


def test_a_dropped_module_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        net = Net()
        net(lt.randn(2, 1, 4, 4)).sum().backward()
        gone = weakref.ref(net)
        del net
        assert gone() is None
    finally:
        gc.enable()


# Errors inside a call.


def test_an_error_names_the_module_by_its_path_from_the_outermost() -> None:
    net = Net()
    with pytest.raises(
        lt.ShapeError, match=r"^conv2d \(in features\.0\): input has 3 channels, weight expects 1"
    ):
        net(lt.zeros(1, 3, 4, 4))
    with pytest.raises(lt.ShapeError, match=r"^linear \(in 0\.fc\): input"):
        nn.Sequential(net)(lt.zeros(1, 1, 9, 9))
    with pytest.raises(lt.ShapeError, match=r"^conv2d: input has 2 channels"):
        net.features[0](lt.zeros(1, 2, 4, 4))
    with pytest.raises(TypeError, match=r"^conv2d \(in features\.0\): input must be a Tensor, got list"):
        net([1.0])
    grouped = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(
        RuntimeError, match=r"^conv2d \(in 1\): input has 6 channels, weight expects 4 \(groups=2\)"
    ):
        grouped(lt.zeros(1, 6, 5, 5))


def test_a_users_own_error_keeps_its_text_type_and_traceback() -> None:
    class Own(Exception):
        pass

    class Fails(nn.Module):
        def forward(self, x: Any) -> Any:
            raise Own("no colon here")

    with pytest.raises(Own) as caught:
        nn.Sequential(nn.Sequential(Fails()))(1)
    assert caught.value.args == ("no colon here",)
    assert caught.value.__notes__ == ["(in module 0.0)"]
    assert any(entry.name == "forward" for entry in caught.traceback)


def test_an_error_that_was_handled_inside_leaves_no_trace() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: lt.Tensor) -> lt.Tensor:
            try:
                return self.fc(x)
            except lt.ShapeError:
                return x

    assert Careful()(lt.ones(1, 3)).tolist() == [[1.0, 1.0, 1.0]]


def test_train_goes_through_a_train_that_a_part_overrides() -> None:
    class Frozen(lt.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = lt.nn.BatchNorm1d(2)

        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self.norm.eval()
            return self

    model = lt.nn.Sequential(Frozen(), lt.nn.Dropout())
    model.train()
    assert [m.training for m in (model[0], model[1], model[0].norm)] == [True, True, False]
