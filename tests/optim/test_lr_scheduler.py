"""Schedules against PyTorch's, in one go and resumed half-way."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import lectorium as lt

Make = Callable[[Any, Any], Any]
STEPS = 60


def halving(epoch: int) -> float:
    return 0.95**epoch


# What makes the schedule, of a module `s` (lr_scheduler, ours or PyTorch's) and an optimizer.
SCHEDULES: dict[str, Make] = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, [halving, lambda e: 1 / (1 + e)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9 if e % 3 else 1.1),
    "StepLR": lambda s, o: s.StepLR(o, 7, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [5, 20, 20, 41], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=11),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.8, total_iters=23),
    "LinearLR with its defaults": lambda s, o: s.LinearLR(o),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, gamma=0.93),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=37, power=1.7),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, T_max=17, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(
        o, T_0=7, T_mult=2, eta_min=0.01
    ),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, max_lr=[0.9, 0.3], total_steps=STEPS + 1),
    "OneCycleLR in three phases": lambda s, o: s.OneCycleLR(
        o, max_lr=0.9, epochs=7, steps_per_epoch=9, three_phase=True, anneal_strategy="linear", pct_start=0.2
    ),
    "CyclicLR": lambda s, o: s.CyclicLR(
        o, base_lr=[0.01, 0.02], max_lr=0.5, step_size_up=5, step_size_down=8
    ),
    "CyclicLR with half the height": lambda s, o: s.CyclicLR(
        o, 0.01, 0.5, step_size_up=4, mode="triangular2"
    ),
    "CyclicLR exponential": lambda s, o: s.CyclicLR(
        o, 0.01, 0.5, step_size_up=4, mode="exp_range", gamma=0.97
    ),
    "CyclicLR with a function": lambda s, o: s.CyclicLR(
        o,
        0.01,
        0.5,
        step_size_up=4,
        scale_fn=lambda x: 1 / (1 + x),
        scale_mode="iterations",
        cycle_momentum=False,
    ),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, total_iters=6), s.CosineAnnealingLR(o, T_max=30), s.ExponentialLR(o, 0.9)], [6, 40]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.5, 9), s.ExponentialLR(o, 0.97), s.StepLR(o, 10)], o
    ),
}


def ours(kind: str = "SGD") -> Any:
    a, b = lt.zeros(1, requires_grad=True), lt.zeros(1, requires_grad=True)
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(lt.optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.03}], lr=0.2, **options)


def reference(kind: str = "SGD") -> Any:
    torch = pytest.importorskip("torch")
    a, b = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(torch.optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.03}], lr=0.2, **options)


def follow(optimizer: Any, scheduler: Any, steps: int) -> list[Any]:
    """The learning rates (and momenta) of each step."""
    seen = []
    for _ in range(steps):
        rates = [g["lr"] for g in optimizer.param_groups]
        momenta = [g.get("momentum", g.get("betas", (0,))[0]) for g in optimizer.param_groups]
        assert scheduler.get_last_lr() == rates
        seen.append((*rates, *momenta))
        optimizer.step()
        scheduler.step()
    return seen


def same(got: list[Any], want: list[Any]) -> None:
    assert len(got) == len(want)
    for epoch, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a == pytest.approx(b, rel=1e-13, abs=1e-16), f"in epoch {epoch}"


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_sixty_learning_rates_are_those_of_pytorch(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    make = SCHEDULES[name]
    mine, theirs = ours(kind), reference(kind)
    want = follow(theirs, make(torch.optim.lr_scheduler, theirs), STEPS)
    same(follow(mine, make(lt.optim.lr_scheduler, mine), STEPS), want)
    assert len(set(want)) > 1


@pytest.mark.parametrize("through_a_file", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_resumed_half_way_goes_on_as_if_never_stopped(
    name: str, through_a_file: bool, tmp_path: Any
) -> None:
    make = SCHEDULES[name]
    whole = ours()
    want = follow(whole, make(lt.optim.lr_scheduler, whole), STEPS)
    first = ours()
    scheduler = make(lt.optim.lr_scheduler, first)
    follow(first, scheduler, 27)
    state = {"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()}
    if through_a_file:
        lt.save(state, tmp_path / "state.safetensors")
        state = lt.load(tmp_path / "state.safetensors")
    second = ours()
    again = make(lt.optim.lr_scheduler, second)
    second.load_state_dict(state["optimizer"])
    again.load_state_dict(state["scheduler"])
    assert again.last_epoch == 27 if hasattr(again, "last_epoch") else True
    assert follow(second, again, STEPS - 27) == want[27:]


LOSSES = [1 / (1 + e) if e < 10 else 0.1 + 0.001 * math.sin(e) for e in range(STEPS)]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 3},
        {"mode": "max", "patience": 2, "factor": 0.7, "cooldown": 4},
        {"threshold": 0.02, "threshold_mode": "abs", "patience": 0, "min_lr": [0.05, 0.0]},
        {"mode": "max", "threshold_mode": "abs", "patience": 1, "min_lr": 0.01},
    ],
)
def test_reduce_on_plateau_is_that_of_pytorch_also_when_resumed(
    options: dict[str, Any], tmp_path: Any
) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = ours(), reference()
    scheduler = lt.optim.lr_scheduler.ReduceLROnPlateau(mine, **options)
    want = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for epoch, loss in enumerate(LOSSES):
        scheduler.step(loss if epoch % 2 else lt.tensor(loss, dtype=lt.float64))
        want.step(loss)
        assert scheduler.get_last_lr() == pytest.approx(want.get_last_lr(), rel=1e-13), f"in epoch {epoch}"
        if epoch == 1 or epoch == 30:
            lt.save([mine.state_dict(), scheduler.state_dict()], tmp_path / "state.safetensors")
            saved = lt.load(tmp_path / "state.safetensors")
            mine = ours()
            scheduler = lt.optim.lr_scheduler.ReduceLROnPlateau(mine)
            mine.load_state_dict(saved[0])
            scheduler.load_state_dict(saved[1])


def test_last_epoch_resumes_a_cosine_in_closed_form() -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = ours(), reference()
    for optimizer in (mine, theirs):
        for group in optimizer.param_groups:
            group["initial_lr"] = 0.5
    got = lt.optim.lr_scheduler.CosineAnnealingLR(mine, T_max=10, last_epoch=4)
    want = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=10, last_epoch=4)
    assert got.get_last_lr() == pytest.approx(want.get_last_lr())


JUMPING = [
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
]


@pytest.mark.parametrize("name", [*JUMPING, "CosineAnnealingWarmRestarts"])
def test_a_jump_to_an_epoch_is_that_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    make = SCHEDULES[name]
    mine, theirs = ours(), reference()
    got, want = make(lt.optim.lr_scheduler, mine), make(torch.optim.lr_scheduler, theirs)
    for epoch in (3, 29, 20):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got.step(epoch)
            want.step(epoch)
        assert got.get_last_lr() == pytest.approx(want.get_last_lr(), rel=1e-13)


def test_a_chain_can_be_part_of_a_sequence() -> None:
    s, sgd = lt.optim.lr_scheduler, ours()
    chain = s.ChainedScheduler([s.ConstantLR(sgd, 0.5, 2), s.ExponentialLR(sgd, 0.5)], sgd)
    scheduler = s.SequentialLR(sgd, [chain, s.ConstantLR(sgd, 0.125, 99)], [2])
    assert [row[0] for row in follow(sgd, scheduler, 4)] == pytest.approx([0.1, 0.05, 0.025, 0.025])


def test_stepping_a_schedule_before_the_optimizer_warns() -> None:
    scheduler = lt.optim.lr_scheduler.StepLR(ours(), 3)
    with pytest.warns(UserWarning, match=r"lr_scheduler\.step\(\)` before `optimizer\.step"):
        scheduler.step()


def test_the_right_order_does_not_warn() -> None:
    optimizer = ours()
    scheduler = lt.optim.lr_scheduler.StepLR(optimizer, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()
        scheduler.step()


def test_get_lr_outside_of_a_step_warns() -> None:
    scheduler = lt.optim.lr_scheduler.ExponentialLR(ours(), 0.5)
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()


def test_one_cycle_refuses_a_step_too_many() -> None:
    optimizer = ours()
    scheduler = lt.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=3)
    with pytest.raises(ValueError, match=r"Tried to step 4 times\. The specified number of total steps is 3"):
        follow(optimizer, scheduler, 4)


class Countdown:
    """A callable object, whose state is saved."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, epoch: int) -> float:
        self.calls += 1
        return 1 / self.calls


def test_the_state_of_a_callable_object_is_saved() -> None:
    first, second = Countdown(), Countdown()
    state = lt.optim.lr_scheduler.LambdaLR(ours(), first).state_dict()
    again = lt.optim.lr_scheduler.LambdaLR(ours(), second)
    first.calls = 50
    state = lt.optim.lr_scheduler.LambdaLR(ours(), first).state_dict()
    again.load_state_dict(state)
    assert second.calls == first.calls == 52


s = lt.optim.lr_scheduler


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: s.StepLR("sgd", 3), TypeError, "StepLR: str is not an Optimizer"),
        (lambda: s.StepLR(ours(), 0), ValueError, "step_size must be at least 1"),
        (
            lambda: s.StepLR(ours(), 3, last_epoch=4),
            KeyError,
            "'initial_lr' is not specified in param_groups",
        ),
        (lambda: s.LambdaLR(ours(), [halving]), ValueError, "it has 1 values, param_groups has 2"),
        (lambda: s.LambdaLR(ours(), 0.5), TypeError, "lr_lambda should be a function, but got float"),
        (lambda: s.ConstantLR(ours(), factor=2), ValueError, "factor expected to be above 0 and at most 1"),
        (lambda: s.LinearLR(ours(), start_factor=0), ValueError, "start_factor expected to be above 0"),
        (lambda: s.LinearLR(ours(), end_factor=-1), ValueError, "end_factor expected to be between 0 and 1"),
        (lambda: s.CosineAnnealingLR(ours(), 0), ValueError, "T_max must be at least 1"),
        (lambda: s.CosineAnnealingWarmRestarts(ours(), 0), ValueError, "Expected positive integer T_0"),
        (lambda: s.OneCycleLR(ours(), 1.0), ValueError, "total_steps OR"),
        (
            lambda: s.OneCycleLR(ours(), 1.0, total_steps=-1),
            ValueError,
            "Expected positive integer total_steps",
        ),
        (lambda: s.OneCycleLR(ours(), 1.0, total_steps=9, pct_start=2.0), ValueError, "pct_start"),
        (
            lambda: s.OneCycleLR(ours(), 1.0, total_steps=9, anneal_strategy="up"),
            ValueError,
            "'cos' or 'linear'",
        ),
        (
            lambda: s.OneCycleLR(ours("Adagrad"), 1.0, total_steps=9),
            ValueError,
            "must support momentum or beta1",
        ),
        (lambda: s.CyclicLR(ours(), 0.1, 0.2, mode="square"), ValueError, "mode 'square' is invalid"),
        (lambda: s.ReduceLROnPlateau(ours(), factor=1.0), ValueError, "factor should be < 1.0"),
        (lambda: s.ReduceLROnPlateau(ours(), mode="low"), ValueError, "mode 'low' is unknown"),
        (lambda: s.ChainedScheduler([]), ValueError, "got no scheduler"),
        (lambda: s.SequentialLR(ours(), [], []), ValueError, "got no scheduler"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_schedules_of_different_optimizers_do_not_combine() -> None:
    one, two = ours(), ours()
    with pytest.raises(ValueError, match="same optimizer; number 1 has another"):
        s.ChainedScheduler([s.ExponentialLR(one, 0.9), s.ExponentialLR(two, 0.9)])
    with pytest.raises(ValueError, match="one milestone less"):
        s.SequentialLR(one, [s.ExponentialLR(one, 0.9)], [3])
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        s.ChainedScheduler([s.ReduceLROnPlateau(one)])
    with pytest.raises(ValueError, match="not the state_dict of a schedule"):
        s.ExponentialLR(one, 0.9).load_state_dict({})
