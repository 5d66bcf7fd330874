"""Every loss against PyTorch's: values, gradients, gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import check_op, sample

torch = pytest.importorskip("torch", reason="parity needs torch")
F, TF = lt.nn.functional, torch.nn.functional

REDUCTIONS = ["none", "mean", "sum"]


def like(x: Any, a: np.ndarray) -> Any:
    """The array as a tensor of the library and dtype of ``x``."""
    made = lt.from_numpy(a.copy()) if isinstance(x, lt.Tensor) else torch.from_numpy(a.copy())
    return made.to(x.dtype) if a.dtype.kind == "f" else made


def same(
    name: str, shapes: Any, *others: np.ndarray, low: float = -2.0, high: float = 2.0, **options: Any
) -> None:
    def run(library: Any) -> Any:
        def call(*xs: Any) -> Any:
            extra = {k: like(xs[0], v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
            return getattr(library, name)(*xs, *[like(xs[0], o) for o in others], **extra)

        return call

    check_op(
        run(F), run(TF), shapes, low=low, high=high, edges=False, strided=False, gradcheck=False,
        gradgradcheck=True, rtol=1e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_with_class_indices(reduction: str) -> None:
    labels = np.array([0, 3, 2, 3, 1])
    weight = np.array([0.5, 1.0, 2.0, 0.3])
    same("cross_entropy", [(5, 4)], labels, reduction=reduction)
    same("cross_entropy", [(5, 4)], labels, reduction=reduction, weight=weight, label_smoothing=0.1)
    same("cross_entropy", [(5, 4)], labels, reduction=reduction, weight=weight, ignore_index=3)
    same("cross_entropy", [(4,)], np.array(2), reduction=reduction)
    same("cross_entropy", [(2, 3, 2, 2)], np.array([[[0, 1], [2, 2]], [[1, 1], [0, 2]]]), reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_with_probabilities(reduction: str) -> None:
    p = sample((5, 4), "float64", 0, 1)
    p /= p.sum(1, keepdims=True)
    weight = np.array([0.5, 1.0, 2.0, 0.3])
    same("cross_entropy", [(5, 4)], p, reduction=reduction)
    same("cross_entropy", [(5, 4)], p, reduction=reduction, weight=weight, label_smoothing=0.2)
    same("cross_entropy", [(4,)], p[0], reduction=reduction)
    q = sample((2, 3, 2, 2), "float64", 0, 1)
    same("cross_entropy", [(2, 3, 2, 2)], q, reduction=reduction, weight=weight[:3])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss(reduction: str) -> None:
    labels, weight = np.array([0, 3, 2, 3, 1]), np.array([0.5, 1.0, 2.0, 0.3])
    same("nll_loss", [(5, 4)], labels, reduction=reduction)
    same("nll_loss", [(5, 4)], labels, reduction=reduction, weight=weight, ignore_index=2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse_loss", {}),
        ("l1_loss", {}),
        ("smooth_l1_loss", {}),
        ("smooth_l1_loss", {"beta": 0.4}),
        ("smooth_l1_loss", {"beta": 0.0}),
        ("huber_loss", {"delta": 0.6}),
    ],
)
def test_regression_losses(name: str, options: dict[str, Any], reduction: str) -> None:
    same(name, [(4, 3), (4, 3)], reduction=reduction, **options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropies(reduction: str) -> None:
    t, w = sample((4, 3), "float64", 0, 1), sample((4, 3), "float64", 0.1, 2, seed=3)
    same("binary_cross_entropy", [(4, 3)], t, low=0.05, high=0.95, reduction=reduction)
    same("binary_cross_entropy", [(4, 3)], t, low=0.05, high=0.95, reduction=reduction, weight=w)
    same("binary_cross_entropy_with_logits", [(4, 3)], t, reduction=reduction)
    pos = np.array([0.5, 2.0, 3.0])
    same("binary_cross_entropy_with_logits", [(4, 3)], t, reduction=reduction, weight=w, pos_weight=pos)


def test_binary_cross_entropy_of_a_certain_answer_is_finite_as_in_torch() -> None:
    x, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    ours, theirs = lt.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
    got = F.binary_cross_entropy(ours, lt.from_numpy(t), reduction="none")
    want = TF.binary_cross_entropy(theirs, torch.from_numpy(t), reduction="none")
    assert got.tolist() == want.tolist() == [0.0, 0.0, 100.0, 100.0]
    got.sum().backward()
    want.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


def test_bce_with_huge_logits_is_finite_as_in_torch() -> None:
    x, t = np.array([800.0, -800.0, 800.0]), np.array([1.0, 0.0, 0.0])
    got = F.binary_cross_entropy_with_logits(lt.from_numpy(x), lt.from_numpy(t), reduction="none")
    assert got.tolist() == [0.0, 0.0, 800.0]


@pytest.mark.parametrize("reduction", ["none", "batchmean", "sum", "mean"])
@pytest.mark.filterwarnings("ignore:.*reduction")
def test_kl_div(reduction: str) -> None:
    t = sample((4, 3), "float64", 0, 1)
    t[1, 2] = 0.0
    same("kl_div", [(4, 3)], t, reduction=reduction)
    same("kl_div", [(4, 3), (4, 3)], reduction=reduction, log_target=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_likelihoods_of_counts_and_of_normal_values(reduction: str) -> None:
    counts = np.array([[0.0, 1.0, 2.0], [7.0, 3.0, 0.0]])
    same("poisson_nll_loss", [(2, 3)], counts, reduction=reduction, full=True)
    same("poisson_nll_loss", [(2, 3)], counts, low=0.1, high=2, reduction=reduction, log_input=False)
    var = sample((4, 3), "float64", 0.1, 2, seed=5)
    same("gaussian_nll_loss", [(4, 3), (4, 3)], var, reduction=reduction, full=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margin_losses(reduction: str) -> None:
    sign = np.array([1.0, -1.0, 1.0, -1.0])
    signs = np.where(sample((4, 3), "float64") > 0, 1.0, -1.0)
    same("hinge_embedding_loss", [(4, 3)], signs, reduction=reduction, margin=0.7)
    same("margin_ranking_loss", [(4,), (4,)], sign, reduction=reduction, margin=0.2)
    same("soft_margin_loss", [(4, 3)], signs, reduction=reduction)
    same("multilabel_soft_margin_loss", [(4, 3)], (signs + 1) / 2, reduction=reduction)
    same("cosine_embedding_loss", [(4, 3), (4, 3)], sign, reduction=reduction, margin=0.1)
    labels, weight = np.array([0, 2, 1, 1]), np.array([0.5, 1.0, 2.0])
    for p in (1, 2):
        same("multi_margin_loss", [(4, 3)], labels, reduction=reduction, p=p, margin=0.8, weight=weight)
    for swap in (False, True):
        same("triplet_margin_loss", [(4, 3)] * 3, reduction=reduction, swap=swap)


def test_the_old_flags_of_torch_still_choose_the_reduction() -> None:
    x, t = lt.zeros(3), lt.ones(3)
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert F.mse_loss(x, t, size_average=False).item() == 3.0
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert F.mse_loss(x, t, reduce=False).tolist() == [1.0, 1.0, 1.0]


def test_shapes_that_only_broadcast_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="broadcasting"):
        F.mse_loss(lt.zeros(3, 1), lt.zeros(3))


def test_a_label_out_of_range_is_named_with_its_place() -> None:
    with pytest.raises(
        IndexError, match=r"cross_entropy: target 7 at position \[1\] .* 4 classes, expected 0 to 3"
    ):
        F.cross_entropy(lt.zeros(2, 4), lt.tensor([0, 7]))
    with pytest.raises(IndexError, match="nll_loss: target -1"):
        F.nll_loss(lt.zeros(2, 4), lt.tensor([0, -1]))


def test_targets_of_the_wrong_kind_or_shape_are_refused() -> None:
    with pytest.raises(lt.ShapeError, match=r"target has shape \[3\], expected \[2\]"):
        F.cross_entropy(lt.zeros(2, 4), lt.tensor([0, 1, 2]))
    with pytest.raises(lt.ShapeError, match="cross_entropy: target has shape"):
        F.cross_entropy(lt.zeros(2, 4), lt.zeros(2, 3))
    with pytest.raises(TypeError, match="cross_entropy: target must be a Tensor, got list"):
        F.cross_entropy(lt.zeros(2, 4), [0, 1])
    with pytest.raises(lt.ShapeError, match="weight has shape"):
        F.cross_entropy(lt.zeros(2, 4), lt.tensor([0, 1]), weight=lt.ones(3))
    with pytest.raises(ValueError, match="label_smoothing"):
        F.cross_entropy(lt.zeros(2, 4), lt.tensor([0, 1]), label_smoothing=1.5)
    with pytest.raises(ValueError, match="'none', 'mean' or 'sum', got 'average'"):
        F.mse_loss(lt.zeros(2), lt.zeros(2), reduction="average")
    with pytest.raises(lt.ShapeError, match="binary_cross_entropy: target has shape"):
        F.binary_cross_entropy(lt.zeros(2), lt.zeros(3))
    with pytest.raises(ValueError, match="should be between 0 and 1"):
        F.binary_cross_entropy(lt.tensor([1.5]), lt.tensor([1.0]))
