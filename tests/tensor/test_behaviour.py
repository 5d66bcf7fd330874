"""How a tensor behaves as a Python object: numbers, truth, copies, in-place changes, casts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import assert_same, require_torch

torch = require_torch()


def test_items_and_lists_are_pythons_numbers() -> None:
    for dtype, kind in (
        (lt.float32, float),
        (lt.float64, float),
        (lt.int64, int),
        (lt.int32, int),
        (lt.uint8, int),
        (lt.bool, bool),
        (lt.float16, float),
        (lt.bfloat16, float),
        (lt.int8, int),
    ):
        x = lt.tensor([[1, 0], [1, 1]], dtype=dtype)
        assert type(x[0, 0].item()) is kind
        assert x.tolist() == [[kind(1), kind(0)], [kind(1), kind(1)]]
        assert type(x.tolist()[0][0]) is kind
    assert lt.tensor(2.5).tolist() == 2.5
    assert lt.ones(1, 1).item() == 1.0
    assert lt.zeros(0).tolist() == []
    assert lt.zeros(2, 0).tolist() == [[], []]
    with pytest.raises((RuntimeError, ValueError), match="item"):
        lt.ones(2).item()


def test_numbers_truth_length_and_membership() -> None:
    assert float(lt.tensor(2)) == 2.0
    assert int(lt.tensor([3.9])) == 3
    assert [10, 20, 30][lt.tensor(1)] == 20
    assert list(range(lt.tensor(2))) == [0, 1]
    for value, want in ((0.0, False), (2, True), (True, True), (float("nan"), True)):
        assert bool(lt.tensor(value)) is want
    assert len(lt.ones(3, 2)) == 3
    assert 2 in lt.tensor([1, 2])
    assert 5 not in lt.tensor([1, 2])
    assert [x.tolist() for x in lt.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    a, b = lt.tensor([1, 2])
    assert (a.item(), b.item()) == (1, 2)
    for bad in (lambda: bool(lt.ones(2)), lambda: bool(lt.ones(0))):
        with pytest.raises(RuntimeError, match=r"bool.*\.any"):
            bad()
    for bad in (
        lambda: len(lt.tensor(1)),
        lambda: list(lt.tensor(1)),
        lambda: [1][lt.tensor(0.0)],
        lambda: float(lt.ones(2)),
    ):
        with pytest.raises((TypeError, RuntimeError, ValueError)):
            bad()


def test_equality_is_elementwise_and_hashing_is_by_identity() -> None:
    x = lt.ones(2)
    assert (x == x).tolist() == [True, True]
    assert (x == 1).all()
    assert (x != lt.tensor([1.0, 2.0])).tolist() == [False, True]
    assert x.__eq__("a") is NotImplemented
    assert (x == None) is False  # noqa: E711
    assert len({x, x, lt.ones(2)}) == 2
    assert {x: 1}[x] == 1


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int64", "uint8", "bool", "bfloat16", "float16", "int16"]
)
def test_pickle_and_deepcopy_keep_everything(dtype: str) -> None:
    x = lt.tensor([[1, 0, 1], [0, 1, 1]], dtype=getattr(lt, dtype))
    for source in (x, x.T, x[:, ::2], x[0], lt.zeros(0, 2, dtype=x.dtype), x[0, 0]):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            back = pickle.loads(pickle.dumps(source, protocol))
            assert (back.dtype, back.shape) == (source.dtype, source.shape)
            assert back.tolist() == source.tolist()
        twin = copy.deepcopy(source)
        assert twin.tolist() == source.tolist()
        assert not source.numel() or twin.data_ptr() != source.data_ptr()
    if x.dtype.is_floating_point:
        leaf = lt.ones(2, dtype=x.dtype, requires_grad=True)
        leaf.note = "kept"
        for twin in (pickle.loads(pickle.dumps(leaf)), copy.deepcopy(leaf)):
            assert twin.requires_grad
            assert twin.is_leaf
            assert twin.note == "kept"


def test_deepcopy_keeps_what_is_shared_within_and_copies_gradients() -> None:
    x = lt.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    assert pair[0].grad.tolist() == [3.0, 3.0]
    pair[0].grad.zero_()
    assert x.grad.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 2)
    shallow = copy.copy(x)
    assert shallow.tolist() == x.tolist()


INPLACE: dict[str, Any] = {
    "add_": (1.5,), "sub_": (1.5,), "mul_": (2,), "div_": (2,), "pow_": (2,), "neg_": (), "abs_": (), "exp_": (), "log_": (), "sqrt_": (), "sin_": (),
    "cos_": (), "tanh_": (), "sigmoid_": (), "relu_": (), "floor_": (), "ceil_": (), "round_": (), "clamp_": (0.5, 1.0), "reciprocal_": (), "square_": (),
    "rsqrt_": (), "log1p_": (), "expm1_": (), "zero_": (), "fill_": (3,), "remainder_": (0.7,), "trunc_": (), "frac_": (), "erf_": (), "tril_": (), "triu_": (),
    "lerp_": ("t", 0.3), "addcmul_": ("t", "t"), "addcdiv_": ("t", "t"), "copy_": ("t",), "add_ tensor": ("t",), "mul_ tensor": ("t",), "eq_": (1,), "cumsum_": (1,), "floor_divide_": (0.5,),
}  # fmt: skip


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_methods_change_the_tensor_return_it_and_count(name: str) -> None:
    method, args = name.split()[0], INPLACE[name]
    a, b = np.random.RandomState(0).rand(3, 4) + 0.5, np.random.RandomState(1).rand(3, 4) + 0.5
    for view in (lambda x: x, lambda x: x.T, lambda x: x[:, ::2], lambda x: x[1:]):
        x, t = lt.tensor(a), torch.tensor(a)
        v, tv = view(x), view(t)
        other, tother = view(lt.tensor(b)), view(torch.tensor(b))
        before = x._version
        out = getattr(v, method)(*[other if q == "t" else q for q in args])
        getattr(tv, method)(*[tother if q == "t" else q for q in args])
        assert out is v
        assert x._version > before
        assert_same(x, t, what=name)


def test_in_place_operators_keep_the_object() -> None:
    x = lt.tensor([5.0, 7.0])
    same, view = x, x[:1]
    x += 1
    x *= 2
    x -= 2
    x /= 2
    x **= 2
    x %= 7
    x //= 2
    assert x is same
    y = torch.tensor([5.0, 7.0])
    y += 1
    y *= 2
    y -= 2
    y /= 2
    y **= 2
    y %= 7
    y //= 2
    assert x.tolist() == y.tolist()
    assert view.item() == x[0].item()


def test_in_place_results_of_another_shape_are_refused() -> None:
    x = lt.ones(2, 1)
    with pytest.raises((ValueError, RuntimeError), match=r"add.*\[2, 3\]"):
        x.add_(lt.ones(2, 3))
    assert x.tolist() == [[1.0], [1.0]]
    with pytest.raises((ValueError, RuntimeError)):
        x.copy_(lt.ones(3, 3))


def test_an_in_place_change_of_overlapping_memory_is_right_or_refused() -> None:
    x = lt.arange(6.0)
    x[1:].add_(x[:-1])
    assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    e = lt.ones(3).expand(2, 3)
    with pytest.raises((ValueError, RuntimeError)):
        e.add_(1)
    x = lt.arange(9.0).reshape(3, 3)
    x.copy_(x.T)
    assert x.tolist() == lt.arange(9.0).reshape(3, 3).T.tolist()


def test_to_and_casts_return_the_tensor_itself_when_nothing_changes() -> None:
    x = lt.ones(2)
    assert x.to(lt.float32) is x
    assert x.to("cpu") is x
    assert x.float() is x
    assert x.cpu() is x
    assert x.to(lt.float32, copy=True) is not x
    assert x.to(lt.float64).dtype == lt.float64
    assert x.to("cpu", lt.int64).dtype == lt.int64
    assert x.to(lt.ones(1, dtype=lt.int32)).dtype == lt.int32
    assert x.to(device="cpu", dtype=lt.float16).dtype == lt.float16
    assert x.type_as(lt.ones(1, dtype=lt.float64)).dtype == lt.float64
    for name, dtype in (
        ("double", "float64"),
        ("half", "float16"),
        ("bfloat16", "bfloat16"),
        ("long", "int64"),
        ("int", "int32"),
        ("short", "int16"),
        ("char", "int8"),
        ("byte", "uint8"),
        ("bool", "bool"),
    ):
        assert getattr(x, name)().dtype == getattr(lt, dtype)
    for bad in (lambda: x.to("cuda"), lambda: x.to("mars")):
        with pytest.raises(RuntimeError, match="device"):
            bad()
    for bad in (lambda: x.to(3), lambda: x.to(lt.float32, colour="red"), lambda: x.to([1])):
        with pytest.raises(TypeError):
            bad()


def test_gradients_flow_through_casts_between_floats() -> None:
    x = lt.ones(2, requires_grad=True)
    (x.double() * 2).float().half().float().sum().backward()
    assert x.grad.dtype == lt.float32
    assert x.grad.tolist() == [2.0, 2.0]
    assert not x.long().requires_grad


def test_attributes_describe_the_tensor() -> None:
    x = lt.zeros(2, 3, dtype=lt.float64)
    assert (x.shape, x.ndim, x.dim(), x.numel(), x.nelement(), x.element_size(), x.nbytes, x.itemsize) == (
        (2, 3),
        2,
        2,
        6,
        6,
        8,
        48,
        8,
    )
    assert x.size() == (2, 3)
    assert x.size(-1) == 3
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.device == lt.device("cpu")
    assert x.is_cpu
    assert not x.is_gpu
    assert x.is_floating_point()
    assert lt.is_tensor(x)
    assert not lt.is_tensor([1])
    assert lt.numel(x) == 6
    with pytest.raises(IndexError, match="size"):
        x.size(2)


def test_data_and_set_data_bypass_the_tape() -> None:
    x = lt.ones(2, requires_grad=True)
    x.data.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    assert x.is_leaf
    x.data = lt.zeros(3)
    assert x.shape == (3,)
    assert x.requires_grad
    with pytest.raises(TypeError, match="data"):
        x.data = [1]
    with pytest.raises((TypeError, RuntimeError), match="data"):
        x.data = lt.tensor([1])


def test_grad_can_be_assigned_and_is_checked() -> None:
    x = lt.ones(2, requires_grad=True)
    x.grad = lt.tensor([1.0, 2.0])
    assert x.grad.tolist() == [1.0, 2.0]
    x.grad = None
    assert x.grad is None
    for bad, kind in (
        (lt.ones(3), lt.ShapeError),
        (lt.ones(2, dtype=lt.float64), TypeError),
        (1.0, TypeError),
    ):
        with pytest.raises(kind, match="grad"):
            x.grad = bad
    with pytest.raises(RuntimeError, match="leaf"):
        x.add_(1)
    with lt.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 2.0]


def test_relayouts_in_place_keep_the_object() -> None:
    x = lt.arange(6).reshape(1, 2, 3)
    assert x.squeeze_(0) is x
    assert x.shape == (2, 3)
    assert x.t_().shape == (3, 2)
    assert x.unsqueeze_(-1).shape == (3, 2, 1)
    assert x.transpose_(0, 1).shape == (2, 3, 1)
    assert x.flatten().tolist() == list(range(6))


@pytest.mark.parametrize("name", ["uniform_", "normal_", "exponential_", "bernoulli_", "random_"])
def test_random_fills_work_on_views_and_count(name: str) -> None:
    x = lt.full((4, 6), -100.0)
    before = x._version
    view = x[:, ::2]
    assert getattr(view, name)() is view
    assert x._version > before
    assert (x[:, 1::2] == -100).all()
    assert (x[:, ::2] != -100).all()


def test_fills_refuse_bad_parameters() -> None:
    x = lt.ones(3)
    for bad in (
        lambda: x.normal_(0, -1),
        lambda: x.uniform_(2, 1),
        lambda: x.bernoulli_(2.0),
        lambda: x.exponential_(-1.0),
        lambda: x.random_(5, 5),
        lambda: x.random_(0),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            bad()
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        lt.zeros(3, dtype=lt.int64).uniform_()


def test_methods_exist_wherever_the_function_does() -> None:
    """What is a method in PyTorch and a function here is a method here too."""
    missing = []
    for name in dir(lt):
        if (
            name.startswith("_")
            or not callable(getattr(lt, name))
            or not callable(getattr(torch, name, None))
        ):
            continue
        if hasattr(torch.Tensor, name) and not hasattr(lt.Tensor, name):
            missing.append(name)
    assert missing == []


def test_every_comparison_and_test_is_a_method_that_gets_the_tensor() -> None:
    x, y = lt.tensor([1.0, 2.0]), lt.tensor([2.0, 2.0])
    assert x.eq(y).tolist() == [False, True]
    assert x.ne(2).tolist() == [True, False]
    assert x.gt(1).tolist() == [False, True]
    assert x.isnan().tolist() == [False, False]
    assert x.argmax().item() == 1
    assert x.any().item()
    assert x.count_nonzero().item() == 2
    assert x.logical_and(y).tolist() == [True, True]


def test_arguments_can_be_given_by_pytorchs_names() -> None:
    x = lt.tensor([[3.0, 1.0], [2.0, 4.0]])
    assert lt.add(input=x, other=1, alpha=2)[0, 0].item() == 5.0
    assert lt.eq(input=x, other=1.0).sum().item() == 1
    assert lt.gt(x, other=2).sum().item() == 2
    assert lt.sum(input=x, dim=1, keepdim=True).shape == (2, 1)
    assert lt.argmax(input=x, dim=1, keepdim=True).shape == (2, 1)
    assert lt.pow(input=x, exponent=2)[0, 0].item() == 9.0
    assert lt.matmul(input=x, other=x).shape == (2, 2)
    assert lt.max(input=x, dim=0).values.tolist() == [3.0, 4.0]
    assert lt.where(condition=x > 2, input=x, other=0)[0, 1].item() == 0.0
    assert lt.transpose(input=x, dim0=0, dim1=1)[0, 1].item() == 2.0
    assert lt.unsqueeze(input=x, dim=0).shape == (1, 2, 2)
    assert lt.logical_not(input=x > 2).sum().item() == 2
    assert lt.isnan(input=x).sum().item() == 0
    assert lt.floor_divide(input=x, other=2)[0, 0].item() == 1.0
    assert lt.bitwise_and(input=lt.tensor(6), other=lt.tensor(3)).item() == 2
    assert lt.index_select(input=x, dim=0, index=lt.tensor([1])).shape == (1, 2)
    assert lt.any(input=x > 3, dim=1).tolist() == [False, True]
    assert lt.clamp(input=x, min=2, max=3).max().item() == 3.0
    assert lt.exp(input=x).shape == (2, 2)
    assert lt.count_nonzero(input=x, dim=0).tolist() == [2, 2]
    with pytest.raises(TypeError):
        lt.exp(x, colour="red")


def test_bounds_given_as_tensors_leave_the_whole_gradient_to_the_input_as_numbers_do() -> None:
    x = lt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    low = lt.tensor([1.0, 3.0, 0.0], requires_grad=True)
    x.clamp(low, lt.tensor(3.0)).sum().backward()
    assert x.grad.tolist() == [1, 0, 1]
    assert low.grad.tolist() == [0, 1, 0]
    nan = float("nan")
    kept = lt.clamp(lt.tensor([nan, 1.0]), min=lt.tensor([0.0, nan]))
    assert kept.isnan().all()


def test_a_tensor_that_fills_a_mask_gets_its_gradient() -> None:
    value = lt.tensor(2.0, requires_grad=True)
    lt.zeros(3).masked_fill(lt.tensor([True, False, True]), value).sum().backward()
    assert value.grad.item() == 2
    with pytest.raises(lt.ShapeError, match="masked_fill: value must be a number"):
        lt.zeros(2).masked_fill(lt.tensor([True, False]), lt.ones(2))


def test_bernoulli_draws_each_element_of_a_broadcast_probability_by_itself() -> None:
    x = lt.zeros(2, 200).bernoulli_(lt.full((2, 1), 0.5))
    assert all(0 < m < 1 for m in x.mean(1).tolist())


def test_a_float_is_searched_among_ints_uncut() -> None:
    assert lt.searchsorted(lt.tensor([1, 3, 5]), 3.5).item() == 2


@pytest.mark.parametrize("dtype", [lt.float16, lt.bfloat16, lt.float32, lt.float64])
def test_infinities_become_the_largest_number_of_the_dtype(dtype: lt.dtype) -> None:
    x = lt.nan_to_num(lt.tensor([float("inf"), float("-inf"), float("nan")], dtype=dtype))
    assert x.isfinite().all()
    assert x[0] == -x[1] > 6e4
    assert x[2] == 0


def test_fill_takes_one_value() -> None:
    assert lt.zeros(2).fill_(lt.tensor(3.0)).tolist() == [3, 3]
    with pytest.raises(lt.ShapeError, match="fill_: expected a number"):
        lt.zeros(2, 2).fill_(lt.ones(2))


def test_axes_can_be_named() -> None:
    x = lt.arange(6).reshape(shape=(2, 3))
    assert x.flip(dims=[1]).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert lt.permute(x, dims=(1, 0)).shape == lt.tile(lt.zeros(3, 1), dims=(1, 2)).shape == (3, 2)
    with pytest.raises(TypeError, match="flip: expected ints by position or by name"):
        x.flip(0, dims=(1,))


def test_ranges_and_numpy_floats_are_numbers_to_creation() -> None:
    assert lt.tensor(range(3)).tolist() == [0, 1, 2]
    assert lt.arange(np.float32(3)).dtype == lt.arange(lt.tensor(3.0)).dtype == lt.float32
    assert lt.arange(np.int64(3)).dtype == lt.arange(lt.tensor(3)).dtype == lt.int64
