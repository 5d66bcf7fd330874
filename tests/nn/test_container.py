"""Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict behave as their PyTorch namesakes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import require_torch, sample, to_numpy
from lectorium import _core, nn


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
    assert "relu" not in {n.op.name for n in _nodes(fused(x))}
    assert "relu" in {n.op.name for n in _nodes(apart(x))}


def test_sequential_calls_a_changed_forward_and_names_the_module_in_errors() -> None:
    net = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    with pytest.raises(ValueError, match=r"BatchNorm2d \(in 0\): expected 4D input"):
        net(lt.zeros(2, 4))
    net[1].forward = lambda x: x - 100.0
    assert net(lt.randn(3, 4, 2, 2)).max().item() < 0


KINDS = [("BatchNorm1d", (6, 4)), ("BatchNorm1d", (3, 4, 5)), ("BatchNorm2d", (3, 4, 5, 2))]
OPTIONS = [
    {},
    {"momentum": None},
    {"affine": False},
    {"bias": False},
    {"track_running_stats": False},
    {"momentum": None, "affine": False},
]


@pytest.mark.parametrize("bad", [None, np.nan, np.inf])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_joined_or_not_batch_norm_and_relu_are_pytorchs(
    kind: str, shape: tuple[int, ...], options: dict[str, Any], bad: float | None
) -> None:
    """Twice in training, then in evaluation; weights and biases of both signs."""
    torch = require_torch()
    norms = [getattr(lib, kind)(4, **options) for lib in (nn, nn, torch.nn)]
    relus = [nn.ReLU(), nn.ReLU(), torch.nn.ReLU()]
    relus[1].register_forward_hook(lambda module, args, output: None)  # so these two stay apart
    nets = [lib.Sequential(n, r) for lib, n, r in zip((nn, nn, torch.nn), norms, relus, strict=True)]
    start = {"weight": np.float32([1.5, -0.7, 0.2, -2.0]), "bias": np.float32([-0.5, 0.4, 1.0, -0.1])}
    x, g = sample(shape, "float32", -2.0, 2.0), sample(shape, "float32", -1.0, 1.0, seed=1)
    if bad is not None:
        x[0, 1] = bad  # spoils one channel
    for training in (True, True, False):
        found = []
        for lib, net in zip((lt, lt, torch), nets, strict=True):
            for name, value in start.items():
                if getattr(net[0], name) is not None:
                    getattr(net[0], name).data.copy_(lib.from_numpy(value.copy()))
            net.zero_grad()
            input = lib.from_numpy(x.copy()).requires_grad_()
            y = net.train(training)(input)
            if net is nets[0]:
                assert "relu" not in {n.op.name for n in _nodes(y)}
            y.backward(lib.from_numpy(g.copy()))
            gradients = {name: p.grad for name, p in net.named_parameters()}
            found.append({"y": y.detach(), "dx": input.grad, **gradients, **dict(net.named_buffers())})
        fused, apart, theirs = found
        assert list(fused) == list(apart) == list(theirs)
        for name in fused:
            values = [to_numpy(f[name]) for f in found]
            np.testing.assert_allclose(values[0], values[1], rtol=1e-5, atol=1e-5, err_msg=name)
            np.testing.assert_allclose(values[0], values[2], rtol=1e-4, atol=1e-5, err_msg=name)


LAYERS = [
    ("Linear", (5, 4), (3, 5)),
    ("Linear", (70, 33), (40, 70)),
    ("Linear", (5, 4, False), (2, 3, 5)),
    ("Conv2d", (1, 6, 5), (2, 1, 9, 8)),
    ("Conv2d", (3, 32, 3, 2, 1), (2, 3, 11, 9)),
    ("Conv2d", (40, 48, 3, 1, 1), (2, 40, 8, 8)),
    ("Conv2d", (8, 8, 3, 1, 1, 1, 8), (2, 8, 5, 6)),
    ("Conv2d", (20, 17, 1), (2, 20, 5, 5)),
    ("Conv2d", (4, 4, 3, 1, "same", 1, 2, True, "reflect"), (4, 6, 6)),
]


@pytest.mark.parametrize("bad", [None, np.nan, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "arguments", "shape"), LAYERS, ids=str)
def test_joined_or_not_a_layer_and_relu_have_the_same_values_and_gradients(
    kind: str,
    arguments: tuple[Any, ...],
    shape: tuple[int, ...],
    dtype: str,
    bad: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes, relu = [], _core.relu
    monkeypatch.setattr(_core, "relu", lambda x: passes.append(x) or relu(x))
    joined = nn.Sequential(getattr(nn, kind)(*arguments), nn.ReLU(inplace=True)).to(getattr(lt, dtype))
    apart = nn.Sequential(getattr(nn, kind)(*arguments), nn.ReLU()).to(getattr(lt, dtype))
    apart.load_state_dict(joined.state_dict())
    apart[1].register_forward_hook(lambda module, args, output: None)
    x = sample(shape, dtype, -2.0, 2.0)
    if bad is not None:
        x[(0,) * len(shape)] = bad
    found = []
    for net in (joined, apart):
        input = lt.from_numpy(x.copy()).requires_grad_()
        y = net(input)
        (first,) = lt.autograd.grad((y * y).sum(), [input], create_graph=True)
        (first * first).sum().backward()
        found.append([y.detach(), first.detach(), input.grad, *(p.grad for p in net.parameters())])
        with lt.no_grad():
            found[-1].append(net(input))
        assert len(passes) == (2 if net is apart else 0)
    for a, b in zip(*found, strict=True):
        # Adding no bias turns a zero's sign at most.
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_a_subclass_and_a_changed_result_keep_layer_and_relu_apart_or_are_errors() -> None:
    class Negative(nn.Linear):
        def forward(self, input: lt.Tensor) -> lt.Tensor:
            return super().forward(input).abs() * -1.0

    assert nn.Sequential(Negative(3, 4), nn.ReLU())(lt.randn(5, 3)).abs().max().item() == 0.0
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    y = net(lt.randn(5, 3))
    y.mul_(2.0)
    with pytest.raises(RuntimeError, match="a tensor that relu needs for its gradient was changed"):
        y.sum().backward()
    with pytest.raises(ValueError, match=r"linear \(in 0\): input \[5, 2\] does not fit weight \[4, 3\]"):
        net(lt.zeros(5, 2))
    with pytest.raises(ValueError, match=r"conv2d \(in 0\): .*channels"):
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())(lt.zeros(1, 2, 5, 5))


def test_a_bias_may_change_between_the_passes_of_batch_norm_and_relu() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
    x = lt.randn(20, 3)
    net(x).sum().backward()
    before = net[0].weight.grad.tolist()
    net.zero_grad()
    y = net(x)
    with lt.no_grad():
        net[0].bias.add_(100.0)
    y.sum().backward()
    assert net[0].weight.grad.tolist() == before


@pytest.mark.parametrize("training", [True, False])
def test_errors_of_joined_batch_norm_and_relu_name_batch_norm(training: bool) -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).train(training)
    with pytest.raises(TypeError, match=r"^batch_norm \(in 0\): input must be a Tensor, got ndarray"):
        net(np.zeros((2, 3, 4, 4), np.float32))
    y = net(lt.randn(2, 3, 4, 4))
    with lt.no_grad():
        net[0].weight.add_(1.0)
    with pytest.raises(RuntimeError, match="a tensor that batch_norm needs for its gradient"):
        y.sum().backward()


@pytest.mark.parametrize("kind", [nn.ReLU, nn.BatchNorm2d])
def test_a_forward_put_into_a_class_is_called(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "forward", lambda self, input: input * 0.0 - 5.0)
    net = nn.Sequential(nn.ReLU() if kind is nn.ReLU else nn.Identity(), nn.BatchNorm2d(3), nn.ReLU())
    expected = {nn.ReLU: -5.0, nn.BatchNorm2d: 0.0}[kind]
    assert lt.equal(net(lt.randn(2, 3, 4, 4)), lt.full((2, 3, 4, 4), expected))


def test_a_call_put_into_module_sees_every_module(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, call = [], nn.Module.__call__

    def counted(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        seen.append(type(self).__name__)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__call__", counted)
    nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())(lt.randn(2, 3, 4, 4))
    assert seen == ["Sequential", "BatchNorm2d", "ReLU"]


def _nodes(y: lt.Tensor) -> list:
    found, stack = [], [y.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None:
            found.append(node)
            stack.extend(parent for parent, _ in node.next_functions)
    return found
