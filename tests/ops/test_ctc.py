"""CTC against PyTorch, and its decoders against all paths."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, require_torch, sample, to_numpy

torch = require_torch()
T = torch.nn.functional
INF = math.inf


def log_probs(time: int, n: int, classes: int, dtype: str = "float64") -> np.ndarray:
    x = sample((time, n, classes), "float64")
    return (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(dtype)


def both(x: np.ndarray, targets: Any, lens: Any, counts: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The loss and the gradient for the log probabilities, ours and PyTorch's."""
    found = []
    for m, f in ((lt, F), (torch, T)):
        leaf = m.from_numpy(x.copy()).requires_grad_()
        loss = f.ctc_loss(leaf, m.tensor(targets), lens, counts, **kwargs)
        loss.sum().backward()
        found.append((loss, leaf.grad))
    return found[0], found[1]


LABELS = [[1, 2, 2, 5], [3, 3, 3, 1], [4, 5, 0, 0]]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_and_its_gradient_agree(reduction: str, dtype: str) -> None:
    x = log_probs(9, 3, 6, dtype)
    flat = [v for row, n in zip(LABELS, (4, 4, 2), strict=True) for v in row[:n]]
    for targets in (LABELS, flat):
        for lens in ((9, 9, 9), (9, 8, 3)):
            ours, theirs = both(x, targets, lens, (4, 4, 2), reduction=reduction)
            assert_same(ours, theirs, rtol=2e-5 if dtype == "float32" else 1e-10)


def test_any_class_may_be_the_blank() -> None:
    x = log_probs(9, 2, 6)
    for blank in (1, 5):
        labels = [[0, 0, 3], [2, 4, 4]]
        ours, theirs = both(x, labels, (9, 7), (3, 3), blank=blank, reduction="none")
        assert_same(ours, theirs)


def test_one_sample_needs_no_axis_of_its_own() -> None:
    x = log_probs(9, 1, 6)[:, 0]
    for reduction in ("none", "mean"):
        ours, theirs = both(x, [1, 2, 2], (9,), (3,), reduction=reduction)
        assert_same(ours, theirs)
        plain = F.ctc_loss(lt.from_numpy(x), lt.tensor([1, 2, 2]), 9, 3, reduction=reduction)
        assert_same(plain, theirs[0])
    got = F.ctc_loss(lt.from_numpy(x), lt.tensor([1, 2, 2]), lt.tensor(9), lt.tensor(3))
    want = T.ctc_loss(torch.from_numpy(x), torch.tensor([1, 2, 2]), torch.tensor(9), torch.tensor(3))
    assert_same(got, want)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_what_cannot_be_aligned_costs_infinity(zero_infinity: bool, reduction: str) -> None:
    # Three equal labels need five points in time; no input needs no label.
    x = log_probs(9, 3, 6)
    for lens, counts in (((9, 4, 9), (4, 3, 2)), ((3, 5, 0), (4, 3, 2)), ((9, 0, 2), (0, 0, 2))):
        kwargs = {"reduction": reduction, "zero_infinity": zero_infinity}
        ours, theirs = both(x, LABELS, lens, counts, **kwargs)
        assert_same(ours, theirs)


def test_no_target_at_all() -> None:
    x = log_probs(4, 2, 3)
    for targets in ([[1], [2]], []):
        found = []
        for m, f in ((lt, F), (torch, T)):
            leaf = m.from_numpy(x.copy()).requires_grad_()
            loss = f.ctc_loss(leaf, m.tensor(targets, dtype=m.int64), (4, 3), (0, 0))
            loss.backward()
            found.append((loss, leaf.grad))
        assert_same(*found)


def test_impossible_classes_get_no_nan() -> None:
    x = log_probs(6, 1, 4)
    x[:, :, 3] = -INF
    ours, theirs = both(x, [[1, 2]], (6,), (2,), reduction="none")
    assert_same(ours[0], theirs[0])
    grad = ours[1].numpy()
    assert np.isfinite(grad).all()
    assert (grad[:, :, 3] == 0).all()
    leaf = lt.from_numpy(x).requires_grad_()
    assert F.ctc_loss(leaf, lt.tensor([[1, 3]]), (6,), (2,)).item() == INF


def test_lengths_may_be_tensors_and_targets_any_integers() -> None:
    x = log_probs(9, 3, 6)
    want = T.ctc_loss(torch.from_numpy(x), torch.tensor(LABELS), (9, 8, 9), (4, 4, 2))
    lens, counts = lt.tensor([9, 8, 9], dtype=lt.int32), lt.tensor([4, 4, 2])
    got = F.ctc_loss(lt.from_numpy(x), lt.tensor(LABELS, dtype=lt.int32), lens, counts)
    assert_same(got, want)
    assert_same(lt.nn.CTCLoss()(lt.from_numpy(x), lt.tensor(LABELS), [9, 8, 9], counts), want)


def test_strided_inputs_and_gradients() -> None:
    x = np.ascontiguousarray(log_probs(9, 3, 6).transpose(1, 0, 2))
    found = []
    for m, f in ((lt, F), (torch, T)):
        leaf = m.from_numpy(x.copy()).requires_grad_()
        losses = f.ctc_loss(leaf.transpose(0, 1), m.tensor(LABELS), (9, 8, 9), (4, 4, 2), reduction="none")
        (losses * m.tensor([1.0, -2.0, 0.5], dtype=m.float64)).sum().backward()
        found.append((losses, leaf.grad))
    assert_same(*found)


def test_half_precision_is_computed_in_float32() -> None:
    x = lt.from_numpy(log_probs(9, 3, 6, "float32")).to(lt.bfloat16).requires_grad_()
    loss = F.ctc_loss(x, lt.tensor(LABELS), (9, 8, 9), (4, 4, 2))
    loss.backward()
    assert loss.dtype is lt.bfloat16
    assert x.grad.dtype is lt.bfloat16


def test_first_and_second_derivatives_are_right() -> None:
    scores = lt.from_numpy(sample((4, 3, 4), "float64")).requires_grad_()
    labels = lt.tensor([[1, 1], [2, 3], [3, 0]])

    def loss(reduction: str, lens: Any = (4, 3, 4), counts: Any = (2, 2, 1)) -> Any:
        return lambda x: F.ctc_loss(x.log_softmax(2), labels, lens, counts, reduction=reduction)

    for reduction in ("none", "mean"):
        lt.autograd.gradcheck(loss(reduction), (scores,))
        lt.autograd.gradgradcheck(loss(reduction), (scores,))
    lt.autograd.gradgradcheck(loss("sum", (4, 0, 4), (0, 0, 1)), (scores,))


def test_a_gradient_with_a_graph_is_the_same_gradient() -> None:
    x = lt.from_numpy(log_probs(9, 3, 6)).requires_grad_()
    for zero_infinity, lens in itertools.product((False, True), ((9, 8, 9), (9, 4, 3))):
        loss = F.ctc_loss(
            x, lt.tensor(LABELS), lens, (4, 4, 2), reduction="none", zero_infinity=zero_infinity
        )
        if zero_infinity or lens[1] == 8:
            (plain,) = lt.autograd.grad(loss.sum(), x, retain_graph=True)
            (recorded,) = lt.autograd.grad(loss.sum(), x, create_graph=True)
            np.testing.assert_allclose(to_numpy(recorded), to_numpy(plain), rtol=1e-9, atol=1e-12)


def test_threads_do_not_change_a_bit() -> None:
    x = log_probs(50, 9, 12, "float32")
    labels = np.random.RandomState(0).randint(1, 12, (9, 20))
    before, found = lt.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            lt.set_num_threads(threads)
            (loss, grad), _ = both(x, labels, (50,) * 9, tuple(range(11, 20)), reduction="none")
            found.append((loss.detach().numpy().tobytes(), grad.numpy().tobytes()))
    finally:
        lt.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def call(**changed: Any) -> Any:
    given: dict[str, Any] = {
        "log_probs": lt.from_numpy(log_probs(5, 2, 4)), "targets": lt.tensor([[1, 2, 3], [1, 1, 2]]),
        "input_lengths": (5, 5), "target_lengths": (3, 2),
    }  # fmt: skip
    return F.ctc_loss(**{**given, **changed})


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"input_lengths": (5, 6)}, ValueError, r"input_lengths\[1\] is 6, expected 0 to 5, the size of log_probs"),
        ({"input_lengths": (-1, 5)}, ValueError, r"input_lengths\[0\] is -1, expected 0 to 5"),
        ({"target_lengths": (4, 2)}, ValueError, r"target_lengths\[0\] is 4, expected 0 to 3, the size of targets"),
        ({"input_lengths": (5,)}, ValueError, r"input_lengths has 1 entries, expected 2, one for each sample"),
        ({"input_lengths": 5}, TypeError, "input_lengths must be 2 lengths as a tensor or a tuple of ints, got 5"),
        ({"input_lengths": (5, 2.5)}, TypeError, r"as a tensor or a tuple of ints, got \(5, 2.5\)"),
        ({"input_lengths": lt.tensor([5.0, 5.0])}, TypeError, "must be integers, got float64|must be integers, got float32"),
        ({"blank": 4}, ValueError, "blank is 4, expected 0 to 3, one of the 4 classes"),
        ({"blank": -1}, ValueError, "blank is -1, expected 0 to 3"),
        ({"blank": 2}, ValueError, "label 1 of sample 0 is 2, which is the blank"),
        ({"targets": lt.tensor([[1, 2, 3], [1, 4, 2]])}, IndexError, "label 1 of sample 1 is 4, out of range for 4 classes"),
        ({"targets": lt.tensor([[1, 2, 3], [-1, 3, 2]])}, IndexError, "label 0 of sample 1 is -1, out of range"),
        ({"targets": lt.tensor([1, 2, 3, 1])}, ValueError, "targets has 4 labels, but target_lengths sum to 5"),
        ({"targets": lt.tensor([[1, 2, 3]])}, ValueError, r"targets has shape \[1, 3\], expected \[2, S\] or"),
        ({"targets": lt.tensor([[1.0, 2, 3], [1, 1, 2]])}, TypeError, r"expected int64 labels; convert with .long\(\)"),
        ({"log_probs": lt.zeros(0, 2, 4)}, ValueError, r"shape \[0, 2, 4\] and no element; it must not be empty"),
        ({"log_probs": lt.zeros(4)}, ValueError, r"shape \[4\], expected \[T, N, C\] or \[T, C\]"),
        ({"log_probs": lt.zeros(5, 2, 4, dtype=lt.int64)}, TypeError, "expected a floating point tensor, got int64"),
        ({"reduction": "batchmean"}, ValueError, "must be 'none', 'mean' or 'sum', got 'batchmean'"),
        ({"targets": [[1, 2, 3], [1, 1, 2]]}, TypeError, "targets must be a Tensor, got list"),
    ],
)  # fmt: skip
def test_errors_say_what_came(changed: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match="ctc_loss: .*" + words):
        call(**changed)


def labelling(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


@pytest.mark.parametrize("blank", [0, 2])
def test_a_wide_beam_sums_over_all_paths(blank: int) -> None:
    x, lens = log_probs(5, 2, 3), (5, 4)
    found = F.ctc_beam_decode(lt.from_numpy(x), lens, beam_width=400, blank=blank, top_paths=6)
    for i, n in enumerate(lens):
        sums: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(3), repeat=n):
            p = math.exp(sum(x[t, i, c] for t, c in enumerate(path)))
            sums[labelling(path, blank)] = sums.get(labelling(path, blank), 0.0) + p
        best = sorted(sums.items(), key=lambda item: -item[1])[:6]
        assert [tuple(h.tokens) for h in found[i]] == [labels for labels, _ in best]
        np.testing.assert_allclose([h.score for h in found[i]], [math.log(p) for _, p in best], rtol=1e-12)


def test_a_score_is_the_negative_loss() -> None:
    x = lt.from_numpy(log_probs(6, 2, 4))
    for i, paths in enumerate(F.ctc_beam_decode(x, beam_width=2000, top_paths=3)):
        for tokens, score in paths:
            loss = F.ctc_loss(x[:, i], lt.tensor(tokens, dtype=lt.int64), 6, len(tokens), reduction="none")
            np.testing.assert_allclose(score, -loss.item(), rtol=1e-10)


def test_greedy_joins_repeats_and_drops_blanks() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    x = np.full((8, 1, 3), math.log(0.1))
    x[np.arange(8), 0, path] = math.log(0.8)
    (best,) = F.ctc_greedy_decode(lt.from_numpy(x))
    assert best.tokens == [1, 1, 2]
    np.testing.assert_allclose(best.score, 8 * math.log(0.8))
    assert F.ctc_greedy_decode(lt.from_numpy(x), (3,))[0].tokens == [1]
    assert F.ctc_greedy_decode(lt.from_numpy(x[:, 0]), 0)[0] == ([], 0.0)
    assert F.ctc_beam_decode(lt.from_numpy(x), (0,))[0] == [([], 0.0)]


def test_a_narrow_beam_keeps_what_it_can() -> None:
    x = lt.from_numpy(log_probs(40, 3, 20, "float32"))
    scores = [[F.ctc_beam_decode(x, beam_width=w)[i][0].score for w in (1, 8, 64)] for i in range(3)]
    assert all(a <= b + 1e-9 <= c + 2e-9 for a, b, c in scores)


def test_no_labelling_comes_twice() -> None:
    # A prefix that left the beam and comes back meets its own longer forms there.
    x = lt.from_numpy(log_probs(30, 40, 3))
    for width in (2, 3, 5):
        for paths in F.ctc_beam_decode(x, beam_width=width, top_paths=width):
            assert len({tuple(h.tokens) for h in paths}) == len(paths)


def test_errors_of_the_decoders_say_what_came() -> None:
    x = lt.from_numpy(log_probs(5, 2, 4))
    with pytest.raises(ValueError, match="ctc_beam_decode: beam_width is 0, expected 1 or more"):
        F.ctc_beam_decode(x, beam_width=0)
    with pytest.raises(ValueError, match="top_paths is 11, expected 1 to 10, the beam_width"):
        F.ctc_beam_decode(x, top_paths=11)
    with pytest.raises(ValueError, match=r"ctc_greedy_decode: input_lengths\[1\] is 9, expected 0 to 5"):
        F.ctc_greedy_decode(x, (5, 9))
    with pytest.raises(ValueError, match="ctc_greedy_decode: blank is 7, expected 0 to 3"):
        F.ctc_greedy_decode(x, blank=7)
    x[2, 1, 3] = math.nan
    for decode in (F.ctc_greedy_decode, F.ctc_beam_decode):
        with pytest.raises(ValueError, match="log_probs of sample 1 has NaN at time 2"):
            decode(x)
