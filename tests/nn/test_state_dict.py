"""state_dict and load_state_dict: round trips and what strictness says."""

from __future__ import annotations

import pytest

import lectorium as lt
from lectorium import nn


def test_the_state_shares_memory_and_is_made_of_plain_tensors() -> None:
    layer = nn.Linear(2, 1)
    state = layer.state_dict()
    assert list(state) == ["weight", "bias"]
    assert type(state["weight"]) is lt.Tensor
    assert not state["weight"].requires_grad
    state["weight"].fill_(7.0)
    assert layer.weight.tolist() == [[7.0, 7.0]]
    assert layer.state_dict(keep_vars=True)["weight"] is layer.weight
    assert list(layer.state_dict(prefix="net.")) == ["net.weight", "net.bias"]


def test_loading_copies_values_and_converts_dtypes() -> None:
    a, b = nn.Linear(2, 1), nn.Linear(2, 1, dtype=lt.float64)
    weight = b.weight
    result = b.load_state_dict(a.state_dict())
    assert result.missing_keys == []
    assert result.unexpected_keys == []
    assert repr(result) == "<All keys matched successfully>"
    assert b.weight is weight
    assert b.weight.dtype == lt.float64
    assert b.weight.tolist() == a.weight.tolist()
    with lt.no_grad():
        a.weight.zero_()
    assert b.weight.tolist() != a.weight.tolist()


def test_assign_takes_the_tensors_themselves() -> None:
    a, b = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    b.load_state_dict(a.state_dict(), assign=True)
    with lt.no_grad():
        a.weight.fill_(3.0)
        a.running_mean.fill_(4.0)
    assert b.weight.tolist() == [3.0, 3.0]
    assert isinstance(b.weight, nn.Parameter)
    assert b.running_mean.tolist() == [4.0, 4.0]


def test_a_strict_load_lists_missing_unexpected_and_mismatched_keys_and_copies_nothing() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = net.state_dict()
    before = net[0].bias.tolist()
    wrong = {k: v.clone() + 1 for k, v in state.items() if k != "1.running_var"}
    wrong["0.weight"] = lt.zeros(3, 4)
    wrong["extra"] = lt.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrong)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Sequential:",
        'Missing key(s) in state_dict: "1.running_var". ',
        'Unexpected key(s) in state_dict: "extra". ',
        "size mismatch for 0.weight: copying a param with shape [3, 4] from checkpoint, "
        "the shape in current model is [3, 2].",
    ]
    assert net[0].bias.tolist() == before


def test_without_strict_keys_may_differ_but_shapes_may_not() -> None:
    net = nn.Linear(2, 1)
    result = net.load_state_dict({"weight": lt.ones(1, 2), "more": lt.zeros(1)}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["more"]
    assert net.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        net.load_state_dict({"weight": lt.ones(1, 3)}, strict=False)


def test_what_is_no_state_is_refused() -> None:
    net = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="expected a dict of tensors, got list"):
        net.load_state_dict([1])
    with pytest.raises(RuntimeError, match=r'While copying "weight": expected a lectorium.Tensor, got float'):
        net.load_state_dict({"weight": 1.0, "bias": lt.zeros(1)})


def test_a_saved_value_that_is_loaded_over_is_noticed_in_backward() -> None:
    net = nn.Linear(2, 2)
    x = lt.ones(1, 2, requires_grad=True)
    y = net(x)
    net.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(RuntimeError, match="linear needs for its gradient was changed"):
        y.sum().backward()
