"""Normalisation against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
T = torch.nn.functional
BATCHES = [(4, 3), (2, 3, 5), (2, 3, 4, 5)]


@pytest.mark.parametrize("shape", BATCHES, ids=str)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_agrees_in_values_and_two_derivatives(
    shape: tuple[int, ...], affine: bool, training: bool
) -> None:
    def call(m: Any, f: Any) -> Any:
        mean, var = ([0.1, -0.2, 0.3], [1.0, 2.0, 0.5]) if not training else (None, None)

        def run(x: Any, *wb: Any) -> Any:
            stats = [None if s is None else m.tensor(s, dtype=x.dtype) for s in (mean, var)]
            return f.batch_norm(x, *stats, *(wb or (None, None)), training=training, eps=1e-3)

        return run

    shapes = [shape, *([(3,), (3,)] if affine else [])]
    check_op(call(lt, F), call(torch, T), shapes, gradgradcheck=True, edges=False, rtol=2e-4, atol=1e-5)


def test_batch_norm_moves_the_running_statistics_as_pytorch_does() -> None:
    a = sample((6, 3, 4))
    for momentum in (0.1, 0.7):
        ours = lt.zeros(3), lt.ones(3)
        theirs = torch.zeros(3), torch.ones(3)
        for _ in range(2):
            F.batch_norm(lt.tensor(a), *ours, training=True, momentum=momentum)
            T.batch_norm(torch.tensor(a), *theirs, training=True, momentum=momentum)
        assert_same(ours, theirs)


@pytest.mark.parametrize("normalized", [(5,), (4, 5), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm_agrees(normalized: tuple[int, ...], affine: bool) -> None:
    shapes = [(3, 4, 5), *([normalized, normalized] if affine else [])]
    check_op(
        lambda x, *wb: F.layer_norm(x, normalized, *wb), lambda x, *wb: T.layer_norm(x, normalized, *wb), shapes,
        gradgradcheck=len(normalized) < 3, edges=False, rtol=2e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("affine", [False, True])
def test_group_norm_agrees(groups: int, affine: bool) -> None:
    shapes = [(2, 4, 3), *([(4,), (4,)] if affine else [])]
    check_op(
        lambda x, *wb: F.group_norm(x, groups, *wb), lambda x, *wb: T.group_norm(x, groups, *wb), shapes,
        gradgradcheck=True, edges=False, rtol=2e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_local_response_norm_agrees(size: int) -> None:
    kwargs = {"alpha": 0.3, "beta": 0.75, "k": 1.5}
    check_op(
        lambda x: F.local_response_norm(x, size, **kwargs), lambda x: T.local_response_norm(x, size, **kwargs), [(2, 5, 2, 3)],
        gradgradcheck=True, edges=False, rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_other_normalisations_agree() -> None:
    check_op(F.normalize, T.normalize, [(3, 4)], gradgradcheck=True, edges=False)
    check_op(lambda x: F.normalize(x, 1, 0), lambda x: T.normalize(x, 1, 0), [(3, 4)], edges=False)
    check_op(F.instance_norm, T.instance_norm, [(2, 3, 5)], edges=False, rtol=2e-4, atol=1e-5)
    check_op(
        lambda x, w: F.rms_norm(x, (5,), w, 1e-3),
        lambda x, w: T.rms_norm(x, (5,), w, 1e-3),
        [(3, 5), (5,)],
        edges=False,
    )


def test_large_offsets_do_not_destroy_the_variance() -> None:
    a = (sample((64, 2), "float32") + 1e4).astype(np.float32)
    got = F.batch_norm(lt.tensor(a), None, None, training=True).numpy()
    wide = a.astype(np.float64)
    want = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(got, want, atol=2e-2)
    rows = F.layer_norm(lt.tensor(a.T.copy()), (64,)).numpy()
    np.testing.assert_allclose(rows, want.T, atol=2e-2)


def test_empty_batches_stay_empty() -> None:
    assert F.layer_norm(lt.ones(0, 4), (4,)).shape == (0, 4)
    assert F.group_norm(lt.ones(0, 4, 2), 2).shape == (0, 4, 2)
    assert F.batch_norm(lt.ones(0, 4), lt.zeros(4), lt.ones(4)).shape == (0, 4)
    w = lt.ones(4, requires_grad=True)
    F.layer_norm(lt.ones(0, 4), (4,), w).sum().backward()
    assert w.grad.tolist() == [0.0] * 4


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: F.batch_norm(lt.ones(1, 3), None, None, training=True),
        (ValueError, RuntimeError),
        "batch_norm|value",
    ),
    (lambda: F.batch_norm(lt.ones(2, 3), lt.zeros(4), lt.ones(4)), (ValueError, RuntimeError), "batch_norm"),
    (lambda: F.batch_norm(lt.ones(2, 3), None, None), (ValueError, RuntimeError), "batch_norm"),
    (
        lambda: F.batch_norm(lt.ones(2, 3), None, None, lt.ones(4), lt.ones(4), training=True),
        (ValueError, RuntimeError),
        "batch_norm",
    ),
    (lambda: F.layer_norm(lt.ones(2, 3), (4,)), (ValueError, RuntimeError), "layer_norm"),
    (lambda: F.layer_norm(lt.ones(2, 3), (3,), lt.ones(2)), (ValueError, RuntimeError), "layer_norm"),
    (lambda: F.layer_norm(lt.ones(3), (2, 3)), (ValueError, RuntimeError), "layer_norm"),
    (lambda: F.layer_norm(lt.ones(2, 3, dtype=lt.int64), (3,)), TypeError, "layer_norm"),
    (lambda: F.group_norm(lt.ones(2, 3), 2), (ValueError, RuntimeError), "group_norm"),
    (lambda: F.group_norm(lt.ones(2, 4), 0), (ValueError, RuntimeError), "group"),
    (lambda: F.local_response_norm(lt.ones(2, 4, 3), 0), (ValueError, RuntimeError), "local_response_norm"),
    (lambda: F.local_response_norm(lt.ones(4), 2), (ValueError, RuntimeError), "local_response_norm"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_a_wrong_normalisation_is_an_error_that_names_it(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()
