"""Optimizers against PyTorch's, their groups, state and errors."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lectorium as lt

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("Adam", {"lr": 0.05, "betas": (0.3, 0.9), "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "maximize": True}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.05, "centered": True, "alpha": 0.9}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5, "alpha": 0.4, "maximize": True}),
    ("Adagrad", {"lr": 0.05}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adagrad", {"lr": 0.05, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
]
NAMES = sorted({name for name, _ in OPTIONS})
SHAPES = [(7, 3), (7,), (5, 7), ()]


def start(dtype: str) -> list[np.ndarray]:
    rng = np.random.RandomState(0)
    return [rng.randn(*shape).astype(dtype) if shape else np.array(0.3, dtype) for shape in SHAPES]


def loss_of(module: Any, params: list[Any], x: Any) -> Any:
    """A two-layer network and a scalar that scales its output."""
    hidden = module.tanh(x @ params[0].T + params[1])
    return (((hidden @ params[2].T) * params[3] - 1) ** 2).mean()


def ours(dtype: str, requires_grad: bool = True) -> list[Any]:
    return [lt.tensor(a, requires_grad=requires_grad) for a in start(dtype)]


def train(module: Any, optimizer: Any, params: list[Any], x: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(module, params, x).backward()
        optimizer.step()


def inputs(dtype: str) -> np.ndarray:
    return np.random.RandomState(1).randn(11, 3).astype(dtype)


def noisy_quadratic(optimizer: Any, params: list[Any], make: Any, dtype: str, steps: int) -> None:
    """Gradients of a quadratic and noise: a rounding error stays one, whatever divides by small gradients."""
    rng = np.random.RandomState(2)
    for _ in range(steps):
        for p in params:
            pull = 0.1 * p.detach().numpy()
            p.grad = make((pull + rng.randn(*p.shape)).astype(dtype))
        optimizer.step()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_twenty_steps_give_the_parameters_and_state_of_pytorch(
    name: str, options: dict[str, Any], dtype: str, tolerance: float
) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(a, requires_grad=True) for a in start(dtype)]
    mine = ours(dtype)
    reference = getattr(torch.optim, name)(theirs, **options)
    optimizer = getattr(lt.optim, name)(mine, **options)
    noisy_quadratic(reference, theirs, torch.tensor, dtype, 20)
    noisy_quadratic(optimizer, mine, lt.tensor, dtype, 20)
    for got, want in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(
            got.detach().numpy(), want.detach().numpy(), rtol=tolerance, atol=tolerance
        )
    state, want_state = optimizer.state_dict()["state"], reference.state_dict()["state"]
    for i in range(len(mine)):
        expected = {k: v for k, v in want_state.get(i, {}).items() if v is not None}
        assert set(state.get(i, {})) == set(expected)
        for key, value in expected.items():
            assert state[i][key].shape == tuple(value.shape)
            np.testing.assert_allclose(state[i][key].numpy(), value.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"lr": 0.05, "eps": 1e-3}),
        ("AdamW", {"lr": 0.05, "eps": 1e-3}),
        ("RMSprop", {"lr": 0.05, "eps": 1e-2, "momentum": 0.5}),
        ("Adagrad", {"lr": 0.05, "initial_accumulator_value": 0.1}),
        ("Adadelta", {"lr": 0.5, "eps": 1e-3}),
    ],
)
def test_a_network_learns_as_in_pytorch(
    name: str, options: dict[str, Any], dtype: str, tolerance: float
) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(a, requires_grad=True) for a in start(dtype)]
    mine = ours(dtype)
    x = inputs(dtype)
    before = loss_of(lt, mine, lt.tensor(x)).item()
    train(torch, getattr(torch.optim, name)(theirs, **options), theirs, torch.tensor(x), 20)
    train(lt, getattr(lt.optim, name)(mine, **options), mine, lt.tensor(x), 20)
    for got, want in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(
            got.detach().numpy(), want.detach().numpy(), rtol=tolerance, atol=tolerance
        )
    assert loss_of(lt, mine, lt.tensor(x)).item() < before


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    want = getattr(torch.optim, name)([torch.zeros(1)]).defaults
    got = getattr(lt.optim, name)([lt.zeros(1)]).defaults
    assert got == {key: want[key] for key in got}
    assert set(want) - set(got) <= {"foreach", "fused", "capturable", "differentiable"}


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_restored_optimizer_goes_on_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    x = lt.tensor(inputs("float32"))
    params = ours("float32")
    optimizer = getattr(lt.optim, name)(params, **options)
    train(lt, optimizer, params, x, 5)
    other = [p.detach().clone().requires_grad_(True) for p in params]
    again = getattr(lt.optim, name)(other, lr=9.0)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(lt, optimizer, params, x, 5)
    train(lt, again, other, x, 5)
    for a, b in zip(params, other, strict=True):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_state_saved_by_pytorch_can_be_loaded_and_the_other_way_round(
    name: str, options: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(a, requires_grad=True) for a in start("float64")]
    reference = getattr(torch.optim, name)(theirs, **options)
    noisy_quadratic(reference, theirs, torch.tensor, "float64", 4)
    mine = [lt.tensor(p.detach().numpy(), requires_grad=True) for p in theirs]
    optimizer = getattr(lt.optim, name)(mine)
    optimizer.load_state_dict(reference.state_dict())
    noisy_quadratic(optimizer, mine, lt.tensor, "float64", 4)
    noisy_quadratic(reference, theirs, torch.tensor, "float64", 4)
    for got, want in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)

    back = [torch.tensor(p.detach().numpy().copy(), requires_grad=True) for p in mine]
    returned = getattr(torch.optim, name)(back)
    saved = optimizer.state_dict()
    as_torch = {i: {k: torch.tensor(v.numpy()) for k, v in s.items()} for i, s in saved["state"].items()}
    returned.load_state_dict({"state": as_torch, "param_groups": saved["param_groups"]})
    noisy_quadratic(returned, back, torch.tensor, "float64", 2)
    noisy_quadratic(reference, theirs, torch.tensor, "float64", 2)
    for got, want in zip(back, theirs, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_loading_a_state_copies_it() -> None:
    a, b = lt.ones(2, requires_grad=True), lt.ones(2, requires_grad=True)
    first = lt.optim.SGD([a], lr=0.1, momentum=0.9)
    a.grad = lt.ones(2)
    first.step()
    second = lt.optim.SGD([b], lr=0.1, momentum=0.9)
    second.load_state_dict(first.state_dict())
    first.step()
    assert second.state[b]["momentum_buffer"].tolist() == [1.0, 1.0]


def test_groups_have_options_of_their_own() -> None:
    a, b = lt.ones(1, requires_grad=True), lt.ones(1, requires_grad=True)
    sgd = lt.optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.5)
    a.grad, b.grad = lt.ones(1), lt.ones(1)
    sgd.step()
    assert (a.item(), b.item()) == (0.5, 0.0)
    assert [g["params"] for g in sgd.state_dict()["param_groups"]] == [[0], [1]]


def test_adding_a_group_leaves_the_given_dict_alone() -> None:
    group = {"params": [lt.ones(1, requires_grad=True)]}
    lt.optim.SGD([group], lr=0.5)
    assert list(group) == ["params"]


def test_a_tied_parameter_is_updated_once() -> None:
    w = lt.ones(1, requires_grad=True)
    sgd = lt.optim.SGD([w, w], lr=0.25)
    w.grad = lt.ones(1)
    sgd.step()
    assert w.item() == 0.75
    assert len(sgd.param_groups[0]["params"]) == 1


def test_named_parameters_keep_their_names() -> None:
    w = lt.ones(1, requires_grad=True)
    sgd = lt.optim.SGD([("weight", w)], lr=0.5)
    assert sgd.state_dict()["param_groups"][0]["param_names"] == ["weight"]
    with pytest.raises(ValueError, match="with names, or none"):
        sgd.add_param_group({"params": [lt.ones(1, requires_grad=True)]})


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    a, b = lt.ones(1, requires_grad=True), lt.ones(1, requires_grad=True)
    adam = lt.optim.Adam([a, b], lr=0.5)
    a.grad = lt.ones(1)
    adam.step()
    assert a.item() != 1.0
    assert b.item() == 1.0
    assert b not in adam.state


def test_a_group_may_mix_float32_and_float64() -> None:
    a, b = lt.ones(3, requires_grad=True), lt.ones(3, dtype=lt.float64, requires_grad=True)
    adam = lt.optim.Adam([a, b], lr=0.5)
    a.grad, b.grad = lt.ones(3), lt.ones(3, dtype=lt.float64)
    adam.step()
    assert a.dtype is lt.float32
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
    assert b.tolist() != [1.0] * 3


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_is_a_transposed_view_is_updated_in_its_memory(name: str) -> None:
    memory = np.arange(6, dtype=np.float64).reshape(2, 3)
    view = lt.from_numpy(memory.T).requires_grad_(True)
    plain = lt.tensor(memory.T.copy(), requires_grad=True)
    grad = np.arange(6.0).reshape(3, 2) - 2.5
    for p in (view, plain):
        optimizer = getattr(lt.optim, name)([p], lr=0.1)
        for _ in range(3):
            p.grad = lt.tensor(grad)
            optimizer.step()
    np.testing.assert_array_equal(memory.T, plain.detach().numpy())


def test_a_step_after_the_forward_pass_is_noticed_by_backward() -> None:
    w = lt.ones(2, requires_grad=True)
    sgd = lt.optim.SGD([w], lr=0.1, momentum=0.5)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    sgd.step()
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_step_returns_the_loss_of_the_closure_and_records_inside_it() -> None:
    w = lt.tensor([2.0], requires_grad=True)
    sgd = lt.optim.SGD([w], lr=0.25)

    def closure() -> Any:
        sgd.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with lt.no_grad():
        assert sgd.step(closure).item() == 4.0
    assert w.item() == 1.0


def test_zero_grad_forgets_or_zeroes() -> None:
    w = lt.ones(2, requires_grad=True)
    sgd = lt.optim.SGD([w], lr=0.1)
    w.grad = lt.ones(2)
    sgd.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    sgd.zero_grad()
    assert w.grad is None


def test_hooks_run_around_a_step_until_removed() -> None:
    calls: list[str] = []
    w = lt.ones(1, requires_grad=True)

    class Twice(lt.optim.SGD):
        def step(self, closure: Callable[[], Any] | None = None) -> Any:
            super().step()
            return super().step(closure)

    sgd = Twice([w], lr=0.25)
    before = sgd.register_step_pre_hook(lambda o, args, kwargs: calls.append("before"))
    sgd.register_step_post_hook(lambda o, args, kwargs: calls.append("after"))
    w.grad = lt.ones(1)
    sgd.step()
    assert calls == ["before", "after"]
    assert w.item() == 0.5
    before.remove()
    sgd.step()
    assert calls == ["before", "after", "after"]


def test_an_optimizer_can_be_pickled_and_copied() -> None:
    w = lt.ones(2, requires_grad=True)
    adam = lt.optim.Adam([w], lr=0.1)
    w.grad = lt.ones(2)
    adam.step()
    for other in (pickle.loads(pickle.dumps(adam)), copy.deepcopy(adam)):
        (p,) = other.param_groups[0]["params"]
        assert other.state[p]["exp_avg"].tolist() == adam.state[w]["exp_avg"].tolist()
        p.grad = lt.ones(2)
        other.step()
        assert p.tolist() != w.tolist()


def test_the_repr_lists_the_options_of_each_group() -> None:
    text = repr(lt.optim.SGD([lt.ones(1)], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.5\n")


def test_a_tensor_can_be_the_learning_rate() -> None:
    assert lt.optim.Adam([lt.ones(1)], lr=lt.tensor(0.5)).defaults["lr"] == 0.5


W = lt.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: lt.optim.SGD([], lr=1), ValueError, "SGD: optimizer got an empty parameter list"),
        (
            lambda: lt.optim.SGD(W, lr=1),
            TypeError,
            "iterable of tensors or dicts, got Tensor; put the tensor in a",
        ),
        (lambda: lt.optim.SGD([1.0], lr=1), TypeError, "parameter 0 is a float"),
        (lambda: lt.optim.SGD([W * 2], lr=1), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: lt.optim.SGD({"params": [W]}), TypeError, "got a dict; put it in a list"),
        (lambda: lt.optim.SGD([{"lr": 1}]), ValueError, "needs the key 'params'"),
        (lambda: lt.optim.SGD([{"params": {W}}]), TypeError, "set have no order"),
        (
            lambda: lt.optim.SGD([{"params": [W]}, {"params": [W]}]),
            ValueError,
            "more than one parameter group",
        ),
        (lambda: lt.optim.SGD([W], lr=-1), ValueError, "SGD: Invalid learning rate: -1"),
        (lambda: lt.optim.SGD([W], lr=float("nan")), ValueError, "Invalid learning rate: nan"),
        (lambda: lt.optim.SGD([W], lr="fast"), TypeError, "learning rate must be a number, got str"),
        (lambda: lt.optim.SGD([W], lr=lt.ones(2)), ValueError, "Tensor learning rate must be 1-element"),
        (lambda: lt.optim.SGD([W], momentum=-1), ValueError, "Invalid momentum value: -1"),
        (lambda: lt.optim.SGD([W], nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
        (lambda: lt.optim.SGD([W], differentiable=True), ValueError, "differentiable=True is not supported"),
        (
            lambda: lt.optim.Adam([W], betas=(1.0, 0.9)),
            ValueError,
            "Adam: Invalid beta parameter at index 0: 1.0",
        ),
        (lambda: lt.optim.Adam([W], betas=0.9), ValueError, "betas must be two numbers"),
        (lambda: lt.optim.AdamW([W], eps=-1), ValueError, "AdamW: Invalid epsilon value: -1"),
        (lambda: lt.optim.AdamW([W], weight_decay=-1), ValueError, "Invalid weight_decay value"),
        (lambda: lt.optim.RMSprop([W], alpha=-1), ValueError, "RMSprop: Invalid alpha value"),
        (lambda: lt.optim.Adagrad([W], lr_decay=-1), ValueError, "Adagrad: Invalid lr_decay value"),
        (lambda: lt.optim.Adadelta([W], rho=1.5), ValueError, "Adadelta: Invalid rho value: 1.5"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_a_half_precision_parameter_is_refused_by_the_step() -> None:
    w = lt.ones(2, dtype=lt.float16, requires_grad=True)
    w.grad = lt.ones(2, dtype=lt.float16)
    with pytest.raises(TypeError, match=r"SGD\.step: parameter 0 is float16, expected float32 or float64"):
        lt.optim.SGD([w], lr=0.1).step()


def test_a_state_of_another_model_is_refused_and_changes_nothing() -> None:
    small, large = lt.ones(2, requires_grad=True), lt.ones(3, requires_grad=True)
    first, second = lt.optim.SGD([small], lr=0.1, momentum=0.9), lt.optim.SGD([large], lr=0.7, momentum=0.9)
    small.grad = lt.ones(2)
    first.step()
    with pytest.raises(
        ValueError, match=r"momentum_buffer of parameter 0 has shape \[2\], the parameter has \[3\]"
    ):
        second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.7
    with pytest.raises(ValueError, match="different number of parameter groups: 0, the optimizer has 1"):
        second.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match=r"size of the optimizer's: group 0 has 2 parameters"):
        second.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})
    with pytest.raises(ValueError, match="'state' is missing"):
        second.load_state_dict({})
