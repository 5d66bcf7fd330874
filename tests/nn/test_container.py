"""Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict behave as their PyTorch namesakes."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import lectorium as lt
from lectorium import nn


def test_sequential_runs_in_order_and_is_a_list() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert net(lt.ones(4, 2)).shape == (4, 1)
    assert len(net) == 3
    assert net[-1] is net[2]
    assert isinstance(net[:2], nn.Sequential)
    assert net[:2][0] is net[0]
    net.append(nn.Tanh()).insert(0, nn.Flatten())
    assert [type(m).__name__ for m in net] == ["Flatten", "Linear", "ReLU", "Linear", "Tanh"]
    del net[0]
    net[1] = nn.Sigmoid()
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert type(net.pop(-1)) is nn.Tanh
    assert len(net + nn.Sequential(nn.ReLU())) == 4
    net += nn.Sequential(nn.ReLU())
    assert len(net) == 4
    assert len(net * 2) == 8


def test_sequential_takes_names() -> None:
    net = nn.Sequential(OrderedDict([("conv", nn.Conv2d(1, 1, 1)), ("act", nn.ReLU())]))
    assert net.act is net[1]
    assert list(net[:1].state_dict()) == ["conv.weight", "conv.bias"]
    assert net[0] is net.conv


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        nn.Sequential(nn.ReLU(), 3)
    with pytest.raises(IndexError, match="Sequential: index 5 is out of range for 1 modules"):
        nn.Sequential(nn.ReLU())[5]
    with pytest.raises(TypeError, match="expected an iterable, got int"):
        nn.ModuleList().extend(3)


def test_module_list_registers_and_renumbers() -> None:
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers.append(nn.ReLU()).extend([nn.Linear(1, 2)])
    layers.insert(1, nn.Tanh())
    assert [n for n, _ in layers.named_children()] == ["0", "1", "2", "3"]
    assert [n for n, _ in layers.named_parameters()] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    del layers[1:3]
    assert len(layers) == 2
    assert [n for n, _ in layers.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    layers[0] = nn.Sigmoid()
    assert isinstance(layers[0], nn.Sigmoid)
    assert isinstance(layers[:1], nn.ModuleList)
    assert len(layers + nn.ModuleList([nn.ReLU()])) == 3
    with pytest.raises(NotImplementedError):
        layers(1)


def test_module_dict_is_a_dict_of_registered_modules() -> None:
    d = nn.ModuleDict({"a": nn.Linear(1, 1)})
    d["b"] = nn.ReLU()
    d.update([("c", nn.Tanh())])
    assert list(d) == list(d.keys()) == ["a", "b", "c"]
    assert "b" in d
    assert len(d) == 3
    assert [n for n, _ in d.named_parameters()] == ["a.weight", "a.bias"]
    assert isinstance(d.pop("b"), nn.ReLU)
    del d["c"]
    assert [k for k, _ in d.items()] == ["a"]
    with pytest.raises(KeyError):
        d["nothing"]
    d.clear()
    assert len(d) == 0


def test_lists_and_dicts_of_parameters_are_trained() -> None:
    weights = nn.ParameterList([lt.zeros(2), nn.Parameter(lt.zeros(3))])
    weights.append(lt.zeros(1))
    assert [n for n, _ in weights.named_parameters()] == ["0", "1", "2"]
    assert all(isinstance(p, nn.Parameter) for p in weights)
    assert weights[-1].shape == (1,)
    assert len(weights[:2]) == 2
    with pytest.raises(IndexError, match="index 3 is out of range for 3 values"):
        weights[3]
    named = nn.ParameterDict({"a": lt.zeros(2)})
    named["b"] = lt.zeros(1)
    assert list(named.keys()) == ["a", "b"]
    assert named.get("c") is None
    assert [n for n, _ in named.named_parameters()] == ["a", "b"]
    assert named.pop("a").shape == (2,)
    assert list(named.state_dict()) == ["b"]


def test_sequential_joins_batch_norm_and_relu_where_nobody_can_tell() -> None:
    class MyReLU(nn.ReLU):
        pass

    def net(relu: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), relu, nn.BatchNorm2d(4), nn.ReLU())

    fused, apart = net(nn.ReLU(inplace=True)), net(MyReLU())
    apart.load_state_dict(fused.state_dict())
    seen = []
    apart[4].register_forward_pre_hook(lambda module, args: seen.append(args[0].min().item()))
    x = lt.randn(5, 3, 6, 6)
    for training in (True, True, False):
        outputs = [n.train(training)(x) for n in (fused, apart)]
        np.testing.assert_allclose(outputs[0].tolist(), outputs[1].tolist(), rtol=1e-5, atol=1e-5)
        for n, y in zip((fused, apart), outputs, strict=True):
            n.zero_grad()
            (y * y).sum().backward()
        for (name, a), (_, b) in zip(fused.named_parameters(), apart.named_parameters(), strict=True):
            np.testing.assert_allclose(a.grad.tolist(), b.grad.tolist(), rtol=2e-3, atol=2e-3, err_msg=name)
    assert len(seen) == 3
    assert min(seen) < 0
    assert fused[1].num_batches_tracked.item() == 2
    for a, b in zip(fused.buffers(), apart.buffers(), strict=True):
        np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=1e-5, atol=1e-6)
    names = {n.op.name for n in _nodes(fused(x))}
    assert "batch_norm_relu_inference" in names
    assert "relu" not in names
    assert "relu" in {n.op.name for n in _nodes(apart(x))}


def test_sequential_calls_a_changed_forward_and_names_the_module_in_errors() -> None:
    net = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    with pytest.raises(ValueError, match=r"BatchNorm2d \(in 0\): expected 4D input"):
        net(lt.zeros(2, 4))
    net[1].forward = lambda x: x - 100.0
    assert net(lt.randn(3, 4, 2, 2)).max().item() < 0


def _nodes(y: lt.Tensor) -> list:
    found, stack = [], [y.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None:
            found.append(node)
            stack.extend(parent for parent, _ in node.next_functions)
    return found
