"""Losses against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
T = torch.nn.functional
REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [((5, 4), (5,)), ((2, 3, 4), (2, 4)), ((2, 3, 2, 2), (2, 2, 2)), ((4,), ())]


def _target(shape: tuple[int, ...], classes: int, ignored: bool) -> np.ndarray:
    target = np.random.RandomState(0).randint(0, classes, shape)
    if ignored and target.ndim:
        target.reshape(-1)[::3] = -100
    return np.asarray(target)


@pytest.mark.parametrize(("shape", "target_shape"), SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_classes_agrees(
    shape: Any, target_shape: Any, reduction: str, smoothing: float
) -> None:
    classes = shape[0] if len(shape) == 1 else shape[1]
    for weighted, ignored in itertools.product((False, True), repeat=2):
        target = _target(target_shape, classes, ignored)
        weight = np.linspace(0.5, 2, classes) if weighted else None

        def call(m: Any, f: Any, x: Any, target: Any = target, weight: Any = weight) -> Any:
            w = None if weight is None else m.tensor(weight, dtype=x.dtype)
            return f.cross_entropy(x, m.tensor(target), w, reduction=reduction, label_smoothing=smoothing)

        check_op(
            lambda x, c=call: c(lt, F, x), lambda x, c=call: c(torch, T, x), [shape],
            gradgradcheck=not weighted, edges=False, strided=not ignored,
        )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_probabilities_agrees(reduction: str, smoothing: float) -> None:
    target = np.random.RandomState(0).dirichlet(np.ones(4), 5)
    for weight in (None, [0.5, 1.0, 2.0, 3.0]):

        def call(m: Any, f: Any, x: Any, weight: Any = weight) -> Any:
            w = None if weight is None else m.tensor(weight, dtype=x.dtype)
            return f.cross_entropy(
                x, m.tensor(target, dtype=x.dtype), w, reduction=reduction, label_smoothing=smoothing
            )

        check_op(
            lambda x, c=call: c(lt, F, x),
            lambda x, c=call: c(torch, T, x),
            [(5, 4)],
            gradgradcheck=True,
            edges=False,
        )


@pytest.mark.parametrize(("shape", "target_shape"), SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_negative_log_likelihood_agrees(shape: Any, target_shape: Any, reduction: str) -> None:
    classes = shape[0] if len(shape) == 1 else shape[1]
    target, weight = _target(target_shape, classes, True), np.linspace(0.5, 2, classes)

    def call(m: Any, f: Any, x: Any) -> Any:
        return f.nll_loss(x, m.tensor(target), m.tensor(weight, dtype=x.dtype), reduction=reduction)

    check_op(lambda x: call(lt, F, x), lambda x: call(torch, T, x), [shape], gradgradcheck=True, edges=False)


PAIRS: dict[str, tuple[dict[str, Any], tuple[float, float]]] = {
    "mse_loss": ({}, (-2, 2)), "l1_loss": ({}, (-2, 2)), "smooth_l1_loss": ({"beta": 0.7}, (-2, 2)),
    "huber_loss": ({"delta": 0.7}, (-2, 2)), "binary_cross_entropy": ({}, (0.05, 0.95)),
    "binary_cross_entropy_with_logits": ({}, (0.05, 0.95)), "kl_div": ({}, (0.05, 0.95)),
    "poisson_nll_loss": ({}, (0.05, 0.95)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_two_tensors_agree(name: str, reduction: str) -> None:
    kwargs, (low, high) = PAIRS[name]
    ours, theirs = getattr(F, name), getattr(T, name)
    check_op(
        lambda x, y: ours(x, y, reduction=reduction, **kwargs), lambda x, y: theirs(x, y, reduction=reduction, **kwargs),
        [(3, 4), (3, 4)], low=low, high=high, gradgradcheck=name not in ("l1_loss", "smooth_l1_loss", "huber_loss"),
    )  # fmt: skip


def test_binary_losses_take_weights_and_extreme_inputs() -> None:
    y, w = sample((3, 4), "float64", 0, 1), sample((4,), "float64", 0.5, 2)
    t, tt = (lt.tensor(y), lt.tensor(w)), (torch.tensor(y), torch.tensor(w))
    check_op(
        lambda x: F.binary_cross_entropy_with_logits(x, t[0], t[1], pos_weight=t[1]),
        lambda x: T.binary_cross_entropy_with_logits(x, tt[0], tt[1], pos_weight=tt[1]), [(3, 4)], dtypes=("float64",),
        edges=False, gradgradcheck=True,
    )  # fmt: skip
    extreme = [-1000.0, -100.0, 0.0, 100.0, 1000.0]
    ones = [0.0, 1.0, 0.5, 0.0, 1.0]
    assert_same(
        F.binary_cross_entropy_with_logits(lt.tensor(extreme), lt.tensor(ones), reduction="none"),
        T.binary_cross_entropy_with_logits(torch.tensor(extreme), torch.tensor(ones), reduction="none"),
    )
    edge = [0.0, 1.0, 0.0, 1.0]
    goal = [0.0, 1.0, 1.0, 0.0]
    assert_same(
        F.binary_cross_entropy(lt.tensor(edge), lt.tensor(goal), reduction="none"),
        T.binary_cross_entropy(torch.tensor(edge), torch.tensor(goal), reduction="none"),
    )


def test_cross_entropy_of_large_scores_is_finite() -> None:
    x = lt.tensor([[1000.0, 0.0], [-1000.0, 1000.0]], requires_grad=True)
    loss = F.cross_entropy(x, lt.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0.0
    assert lt.isfinite(x.grad).all()


def test_empty_batches_give_what_pytorch_gives() -> None:
    for reduction in REDUCTIONS:
        x, t = lt.zeros(0, 3, requires_grad=True), torch.zeros(0, 3, requires_grad=True)
        got = F.cross_entropy(x, lt.zeros(0, dtype=lt.int64), reduction=reduction)
        want = T.cross_entropy(t, torch.zeros(0, dtype=torch.int64), reduction=reduction)
        assert_same(got, want)
        got.sum().backward()
        assert x.grad.shape == (0, 3)
        assert_same(
            F.mse_loss(lt.zeros(0), lt.zeros(0), reduction=reduction),
            T.mse_loss(torch.zeros(0), torch.zeros(0), reduction=reduction),
        )


def test_a_batch_of_ignored_labels_gives_nan_as_in_pytorch() -> None:
    assert lt.isnan(F.cross_entropy(lt.ones(2, 3), lt.tensor([-100, -100]))).item()
    assert F.cross_entropy(lt.ones(2, 3), lt.tensor([-100, -100]), reduction="sum").item() == 0.0


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: F.cross_entropy(lt.ones(2, 3), lt.tensor([0, 3])), IndexError, "cross_entropy.*3"),
    (lambda: F.cross_entropy(lt.ones(2, 3), lt.tensor([0, -1])), IndexError, "cross_entropy.*-1"),
    (lambda: F.cross_entropy(lt.ones(2, 3), lt.tensor([0])), lt.ShapeError, "cross_entropy"),
    (
        lambda: F.cross_entropy(lt.ones(2, 3), lt.ones(2)),
        (TypeError, ValueError, RuntimeError),
        "cross_entropy",
    ),
    (
        lambda: F.cross_entropy(lt.ones(2, 3), lt.tensor([0, 1]), lt.ones(2)),
        (ValueError, RuntimeError),
        "cross_entropy",
    ),
    (lambda: F.cross_entropy(lt.ones(2, 3), lt.tensor([0, 1]), reduction="avg"), ValueError, "reduction"),
    (
        lambda: F.cross_entropy(lt.ones(2, 3), lt.tensor([0, 1]), label_smoothing=1.5),
        ValueError,
        "label_smoothing",
    ),
    (lambda: F.cross_entropy(lt.ones(2, 3, dtype=lt.int64), lt.tensor([0, 1])), TypeError, "cross_entropy"),
    (lambda: F.nll_loss(lt.ones(2, 3), lt.tensor([0, 7])), IndexError, "nll_loss.*7"),
    (lambda: F.nll_loss(lt.ones(2, 3), lt.tensor([0.0, 1.0])), TypeError, "nll_loss"),
    (lambda: F.mse_loss(lt.ones(2, 3), lt.ones(2, 4)), lt.ShapeError, "mse_loss|sub"),
    (lambda: F.mse_loss(lt.ones(2), lt.ones(2), reduction="x"), ValueError, "reduction"),
    (
        lambda: F.binary_cross_entropy(lt.tensor([1.5]), lt.tensor([1.0])),
        (ValueError, RuntimeError),
        "binary_cross_entropy",
    ),
    (
        lambda: F.binary_cross_entropy(lt.ones(2), lt.ones(3)),
        (ValueError, RuntimeError),
        "binary_cross_entropy",
    ),
    (
        lambda: F.binary_cross_entropy_with_logits(lt.ones(2), lt.ones(3)),
        (ValueError, RuntimeError),
        "binary_cross_entropy_with_logits",
    ),
    (lambda: F.embedding(lt.tensor([0, 5]), lt.ones(5, 2)), IndexError, "5"),
    (lambda: F.embedding(lt.tensor([-1]), lt.ones(5, 2)), IndexError, "-1"),
    (
        lambda: F.embedding(lt.tensor([0.5]), lt.ones(5, 2)),
        TypeError,
        "embedding: indices must be int64 or int32",
    ),
    (lambda: F.one_hot(lt.tensor([3]), 3), (ValueError, IndexError, RuntimeError), "one_hot"),
    (lambda: F.one_hot(lt.tensor([-1])), (ValueError, IndexError, RuntimeError), "one_hot"),
    (lambda: F.one_hot(lt.tensor([0.0])), TypeError, "one_hot"),
    (lambda: F.pad(lt.ones(3), (1, 1, 1)), ValueError, "pad"),
    (lambda: F.pad(lt.ones(1, 3), (3, 0), mode="reflect"), (ValueError, RuntimeError), "reflect"),
    (lambda: F.pad(lt.ones(3), (-4, 0)), (ValueError, RuntimeError), "pad"),
    (lambda: F.pad(lt.ones(3), (1, 1), mode="mirror"), (ValueError, NotImplementedError), "mirror"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_a_wrong_label_shape_or_option_is_an_error_that_says_so(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()


PADS: list[tuple[tuple[int, ...], tuple[int, ...], str]] = [
    ((3, 4), (1, 2), "constant"), ((3, 4), (1, 0, 2, 1), "constant"), ((3, 4), (-1, 2), "constant"), ((3, 4), (-1, -1), "constant"),
    ((2, 3, 4), (1, 2), "reflect"), ((1, 2, 3, 4), (1, 2, 2, 0), "reflect"), ((2, 3, 4), (3, 1), "replicate"),
    ((1, 2, 3, 4), (3, 0, 1, 5), "replicate"), ((2, 3, 4), (2, 4), "circular"), ((1, 2, 3, 4), (1, 2, 3, 0), "circular"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "pads", "mode"), PADS, ids=str)
def test_padding_agrees_in_every_mode(shape: Any, pads: Any, mode: str) -> None:
    value = {"value": 1.5} if mode == "constant" else {}
    check_op(
        lambda x: F.pad(x, pads, mode, **value),
        lambda x: T.pad(x, pads, mode, **value),
        [shape],
        gradgradcheck=True,
        edges=False,
    )


def test_embedding_agrees_also_with_repeats_padding_and_no_indices() -> None:
    for index in ([[0, 2], [2, 4]], [], [1, 1, 1]):
        i = np.array(index, dtype=np.int64)
        for padding in (None, 2, -1):
            check_op(
                lambda w, i=i, p=padding: F.embedding(lt.tensor(i), w, p), lambda w, i=i, p=padding: T.embedding(torch.tensor(i), w, p),
                [(5, 3)], edges=False, strided=False, gradcheck=padding is None,
            )  # fmt: skip


def test_one_hot_agrees() -> None:
    for a in (np.array([0, 2, 1]), np.array([[3], [0]]), np.array(1)):
        assert_same(F.one_hot(lt.tensor(a)), T.one_hot(torch.tensor(a)))
        assert_same(F.one_hot(lt.tensor(a), 6), T.one_hot(torch.tensor(a), 6))


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits"])
def test_a_fused_loss_goes_by_the_name_its_user_knows(name: str) -> None:
    x, y = lt.randn(3, requires_grad=True), lt.rand(3)
    loss = getattr(F, name)(x, y)
    y.add_(1.0)
    with pytest.raises(RuntimeError, match=f"a tensor that {name} needs for its gradient was changed"):
        loss.backward()
    shown = "".join(word.capitalize() for word in name.split("_"))
    assert repr(getattr(F, name)(x, y, reduction="none").grad_fn) == f"<{shown}Backward>"
