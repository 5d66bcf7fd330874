"""The conditional random field against all taggings."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample, to_numpy


def made(tags: int, batch_first: bool = False, dtype: Any = lt.float64) -> Any:
    lt.manual_seed(3)
    crf = lt.nn.CRF(tags, batch_first, dtype=dtype)
    with lt.no_grad():
        for p in crf.parameters():
            p.mul_(10)
    return crf


def scores(crf: Any, emissions: np.ndarray) -> dict[tuple[int, ...], float]:
    """The score of every tagging of one sequence ``[T, tags]``."""
    start, end, move = (to_numpy(p) for p in (crf.start_transitions, crf.end_transitions, crf.transitions))
    found = {}
    for path in itertools.product(range(len(start)), repeat=len(emissions)):
        total = start[path[0]] + end[path[-1]] + sum(e[y] for e, y in zip(emissions, path, strict=True))
        found[path] = total + sum(move[a, b] for a, b in itertools.pairwise(path))
    return found


LENGTHS = [4, 1, 3]


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    emissions = sample((4, 3, 3), "float64")
    tags = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 0, 2]])
    mask = np.arange(4)[:, None] < np.array(LENGTHS)
    return emissions, tags, mask


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_likelihood_is_that_among_all_taggings(batch_first: bool) -> None:
    crf = made(3, batch_first)
    emissions, tags, mask = batch()
    want = []
    for i, n in enumerate(LENGTHS):
        all_of_them = scores(crf, emissions[:n, i])
        total = math.log(sum(math.exp(s) for s in all_of_them.values()))
        want.append(all_of_them[tuple(tags[:n, i])] - total)
    args = [lt.from_numpy(a) for a in (emissions, tags, mask)]
    if batch_first:
        args = [a.transpose(0, 1) for a in args]
    e, y, m = args
    np.testing.assert_allclose(to_numpy(crf(e, y, m, "none")), want, rtol=1e-12)
    np.testing.assert_allclose(crf(e, y, mask=m).item(), sum(want), rtol=1e-12)
    np.testing.assert_allclose(crf(e, y, m, reduction="mean").item(), sum(want) / 3, rtol=1e-12)
    np.testing.assert_allclose(crf(e, y, m, reduction="token_mean").item(), sum(want) / 8, rtol=1e-12)
    np.testing.assert_allclose(to_numpy(crf(e, y, m.to(lt.uint8), "none")), want, rtol=1e-12)
    assert crf(e, y, reduction="none").shape == (3,)


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_best_tags_are_those_of_highest_score(batch_first: bool) -> None:
    crf = made(3, batch_first)
    emissions, _, mask = batch()
    args = [lt.from_numpy(a) for a in (emissions, mask)]
    if batch_first:
        args = [a.transpose(0, 1) for a in args]
    found = crf.decode(*args)
    with_scores = crf.decode_with_scores(*args)
    for i, n in enumerate(LENGTHS):
        all_of_them = scores(crf, emissions[:n, i])
        best = max(all_of_them, key=lambda path: all_of_them[path])
        assert tuple(found[i]) == best
        np.testing.assert_allclose(with_scores[i][1], all_of_them[best], rtol=1e-12)
    assert [len(tags) for tags in crf.decode(args[0])] == [4, 4, 4]


def test_first_and_second_derivatives_are_right() -> None:
    crf = made(3)
    emissions, tags, mask = batch()
    y, m = lt.from_numpy(tags), lt.from_numpy(mask)

    def likelihood(e: Any, start: Any, end: Any, transitions: Any) -> Any:
        return lt.ops.crf_log_likelihood(e, start, end, transitions, y, LENGTHS)[0]

    inputs = (
        lt.from_numpy(emissions).requires_grad_(),
        *(p.detach().requires_grad_() for p in (crf.start_transitions, crf.end_transitions, crf.transitions)),
    )
    lt.autograd.gradcheck(likelihood, inputs)
    lt.autograd.gradgradcheck(likelihood, inputs)
    # Parameters, and emissions that depend on them.
    e = inputs[0] * crf.transitions.sum()
    (g,) = lt.autograd.grad(crf(e, y, m), crf.transitions, create_graph=True)
    (plain,) = lt.autograd.grad(crf(e, y, m), crf.transitions)
    np.testing.assert_allclose(to_numpy(g), to_numpy(plain), rtol=1e-9)


def test_what_the_mask_hides_has_no_say() -> None:
    crf = made(3)
    emissions, tags, mask = batch()
    other = np.where(mask[..., None], emissions, np.inf)
    found = []
    for e, y in ((emissions, tags), (other, np.where(mask, tags, 77))):
        leaf = lt.from_numpy(e).requires_grad_()
        crf.zero_grad()
        crf(leaf, lt.from_numpy(y), lt.from_numpy(mask)).backward()
        found.append([to_numpy(leaf.grad), *(to_numpy(p.grad) for p in crf.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (found[0][0][~mask] == 0).all()


def test_forbidden_moves_have_no_probability() -> None:
    crf = made(3)
    emissions = batch()[0]
    with lt.no_grad():
        crf.transitions[0, 1] = -math.inf
    leaf = lt.from_numpy(emissions).requires_grad_()
    crf(leaf, lt.tensor([[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 0, 2]])).backward()
    assert np.isfinite(to_numpy(leaf.grad)).all()
    assert np.isfinite(to_numpy(crf.transitions.grad)).all()
    assert not any((0, 1) in itertools.pairwise(path) for path in crf.decode(lt.from_numpy(emissions)))


def test_long_sequences_keep_their_digits_and_threads_change_no_bit() -> None:
    emissions = sample((800, 5, 7), "float32", -3, 3)
    tags = lt.from_numpy(np.random.RandomState(0).randint(0, 7, (800, 5)))
    wide, narrow = made(7), made(7, dtype=lt.float32)
    with lt.no_grad():
        for a, b in zip(narrow.parameters(), wide.parameters(), strict=True):
            a.copy_(b)
    want = to_numpy(wide(lt.from_numpy(emissions.astype("float64")), tags, reduction="none"))
    before, found = lt.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            lt.set_num_threads(threads)
            leaf = lt.from_numpy(emissions).requires_grad_()
            narrow.zero_grad()
            loss = narrow(leaf, tags, reduction="none")
            loss.sum().backward()
            np.testing.assert_allclose(to_numpy(loss), want, rtol=1e-6)
            grads = [leaf.grad, *(p.grad for p in narrow.parameters())]
            found.append([to_numpy(t).tobytes() for t in (loss, *grads)])
    finally:
        lt.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_names_and_start_are_those_of_pytorch_crf() -> None:
    crf = lt.nn.CRF(5)
    assert set(crf.state_dict()) == {"start_transitions", "end_transitions", "transitions"}
    assert all(-0.1 <= p.min().item() <= p.max().item() <= 0.1 for p in crf.parameters())
    assert repr(crf) == "CRF(num_tags=5)"


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"emissions": lt.zeros(4, 3)}, ValueError, r"emissions has shape \[4, 3\], expected \[T, N, num_tags\] with num_tags=3"),
        ({"emissions": lt.zeros(4, 3, 5)}, ValueError, r"emissions has shape \[4, 3, 5\], expected .* with num_tags=3"),
        ({"emissions": lt.zeros(0, 3, 3)}, ValueError, "it must not be empty"),
        ({"tags": lt.zeros(3, 4, dtype=lt.int64)}, ValueError, r"tags has shape \[3, 4\], expected \[4, 3\] as the emissions"),
        ({"tags": lt.zeros(4, 3)}, TypeError, r"tags is float32, expected int64; convert with .long\(\)"),
        ({"tags": lt.full((4, 3), 3)}, IndexError, "tag 3 of sequence 0 at time 0 is out of range for 3 tags, expected 0 to 2"),
        ({"mask": lt.ones(3, 3)}, ValueError, r"mask has shape \[3, 3\], expected \[4, 3\] as the emissions"),
        ({"mask": lt.tensor([[1, 0, 1]] * 4)}, ValueError, "the mask leaves nothing of sequence 1"),
        ({"mask": lt.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]])}, ValueError, "the mask of sequence 2 has a hole"),
        ({"reduction": "max"}, ValueError, "must be 'none', 'sum', 'mean' or 'token_mean', got 'max'"),
    ],
)  # fmt: skip
def test_errors_say_what_came(changed: Any, error: type[Exception], words: str) -> None:
    given = {"emissions": lt.zeros(4, 3, 3), "tags": lt.zeros(4, 3, dtype=lt.int64), **changed}
    with pytest.raises(error, match="CRF: .*" + words):
        lt.nn.CRF(3)(**given)


def test_nan_is_refused_where_a_sequence_has_it() -> None:
    emissions = np.zeros((4, 2, 3), np.float32)
    emissions[2, 1, 0] = np.nan
    crf, mask = lt.nn.CRF(3), lt.tensor([[True, True]] * 2 + [[True, False]] * 2)
    assert [len(tags) for tags in crf.decode(lt.from_numpy(emissions), mask)] == [4, 2]
    with pytest.raises(ValueError, match="CRF.decode: the emissions of sequence 1 have NaN at time 2"):
        crf.decode(lt.from_numpy(emissions))


def test_no_tensors_are_refused() -> None:
    with pytest.raises(TypeError, match="CRF: emissions must be a Tensor, got list"):
        lt.nn.CRF(3)([[1.0]], lt.zeros(1, 1).long())
    with pytest.raises(TypeError, match="CRF: tags must be a Tensor, got list"):
        lt.nn.CRF(3)(lt.zeros(1, 1, 3), [[0]])


def test_a_number_of_tags_is_needed() -> None:
    with pytest.raises(ValueError, match="CRF: num_tags must be 1 or more, got 0"):
        lt.nn.CRF(0)
