"""Losses that ask for a margin, and those on pairs and triples of vectors."""

from __future__ import annotations

from collections.abc import Callable

from ... import _core, ops
from ..._core import Tensor
from ._reduction import legacy, reduced, same_shape
from ._shared import ShapeError
from .distance import pairwise_distance


def _above_zero(x: Tensor) -> Tensor:
    return ops.clamp(x, 0.0, None)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``input`` where target is 1, ``max(0, margin - input)`` where it is -1.

    Example:
        >>> distance, target = lt.tensor([0.25, 0.25, 3.0]), lt.tensor([1, -1, -1])
        >>> lt.nn.functional.hinge_embedding_loss(distance, target, reduction="none")
        tensor([0.2500, 0.7500, 0.0000])
    """
    reduction = legacy(size_average, reduce, reduction)
    far = ops.where(ops.ne(target, 1), _above_zero(ops.sub(margin, input)), 0.0)
    near = ops.where(ops.ne(target, -1), input, 0.0)
    return reduced("hinge_embedding_loss", ops.add(far, near), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -target (input1 - input2) + margin)``: target 1 wants the first input larger, -1 the second.

    Example:
        >>> a, b = lt.tensor([3.0, 1.0]), lt.tensor([1.0, 3.0])
        >>> lt.nn.functional.margin_ranking_loss(a, b, lt.ones(2), margin=0.5, reduction="none")
        tensor([0.0000, 2.5000])
    """
    reduction = legacy(size_average, reduce, reduction)
    losses = _above_zero(ops.add(ops.mul(ops.neg(target), ops.sub(input1, input2)), margin))
    return reduced("margin_ranking_loss", losses, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))`` for targets 1 and -1.

    Errors: ShapeError unless the shapes are equal.

    Example:
        >>> scores, target = lt.tensor([5.0, 5.0, 0.0]), lt.tensor([1.0, -1.0, 1.0])
        >>> lt.nn.functional.soft_margin_loss(scores, target, reduction="none")
        tensor([0.0067, 5.0067, 0.6931])
    """
    reduction = legacy(size_average, reduce, reduction)
    same_shape("soft_margin_loss", input, target)
    return reduced("soft_margin_loss", ops.neg(ops.logsigmoid(ops.mul(target, input))), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of raw scores, averaged over the classes (the last axis).

    Shapes: input and target (0 or 1) ``[N, C]``, ``weight`` ``[C]``.

    Errors: ShapeError unless input and target have one shape.

    Example:
        >>> scores, target = lt.tensor([[9.0, -9.0, 0.0]]), lt.tensor([[1.0, 0.0, 1.0]])
        >>> lt.nn.functional.multilabel_soft_margin_loss(scores, target)
        tensor(0.2311)
    """
    reduction = legacy(size_average, reduce, reduction)
    same_shape("multilabel_soft_margin_loss", input, target)
    yes, no = ops.logsigmoid(input), ops.logsigmoid(ops.neg(input))
    losses = ops.neg(ops.add(ops.mul(target, yes), ops.mul(ops.sub(1.0, target), no)))
    if weight is not None:
        losses = ops.mul(losses, weight)
    return reduced("multilabel_soft_margin_loss", ops.mean(losses, (-1,)), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over other classes of max(0, margin - x[target] + x[class])^p / classes``.

    Shapes: input ``[N, C]`` and target ``[N]``, or ``[C]`` and a single target; ``weight`` ``[C]``.

    Errors: ShapeError for other shapes, ValueError unless ``p`` is 1 or 2.

    Example:
        >>> scores = lt.tensor([[0.2, 0.9, 3.0]])
        >>> lt.nn.functional.multi_margin_loss(scores, lt.tensor([2]))
        tensor(0.)
        >>> lt.nn.functional.multi_margin_loss(scores, lt.tensor([1]))
        tensor(1.1333)
    """
    reduction = legacy(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: only p == 1 and p == 2 are supported, got {p}")
    if input.ndim not in (1, 2) or target.ndim != input.ndim - 1 or target.shape != input.shape[:-1]:
        raise ShapeError(
            f"multi_margin_loss: expected scores [N, C] and targets [N] (or [C] and a single target), got "
            f"{list(input.shape)} and {list(target.shape)}"
        )
    classes = input.shape[-1]
    index = ops.unsqueeze(target, -1)
    gaps = _above_zero(ops.add(ops.sub(input, ops.gather(input, -1, index)), margin))
    losses = gaps if p == 1 else ops.mul(gaps, gaps)
    if weight is not None:
        losses = ops.mul(
            losses,
            ops.unsqueeze(
                ops.reshape(ops.index_select(weight, 0, ops.reshape(target, [-1])), list(target.shape)), -1
            ),
        )
    others = _core.cast(_core.eq(_core.one_hot(target, classes), 0), input.dtype)
    losses = ops.div(ops.sum(ops.mul(losses, others), (-1,)), classes)
    return reduced("multi_margin_loss", losses, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` where target is 1, ``max(0, cos - margin)`` where it is -1.

    Shapes: inputs ``[N, D]`` with targets ``[N]``, or ``[D]`` with a single target.

    Example:
        >>> a, b = lt.tensor([[1.0, 0.0], [1.0, 0.0]]), lt.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> lt.nn.functional.cosine_embedding_loss(a, b, lt.tensor([1, 1]), reduction="none")
        tensor([0., 1.])
    """
    reduction = legacy(size_average, reduce, reduction)
    if target.ndim + 1 != input1.ndim or input1.ndim != input2.ndim:
        raise ShapeError(
            f"cosine_embedding_loss: expected inputs [N, D] and targets [N] (or [D] and a single target), "
            f"got {list(input1.shape)}, {list(input2.shape)} and {list(target.shape)}"
        )
    # PyTorch adds its epsilon to the squared norms here.
    dots = ops.sum(ops.mul(input1, input2), (-1,))
    first = ops.add(ops.sum(ops.mul(input1, input1), (-1,)), 1e-12)
    second = ops.add(ops.sum(ops.mul(input2, input2), (-1,)), 1e-12)
    cos = ops.div(dots, ops.sqrt(ops.mul(first, second)))
    apart = ops.where(ops.eq(target, -1), _above_zero(ops.sub(cos, margin)), 0.0)
    together = ops.where(ops.eq(target, 1), ops.sub(1.0, cos), 0.0)
    return reduced("cosine_embedding_loss", ops.add(together, apart), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` (Balntas et al. 2016).

    Example:
        >>> F = lt.nn.functional
        >>> F.triplet_margin_loss(lt.zeros(1, 2), lt.zeros(1, 2), lt.tensor([[3.0, 4.0]]))
        tensor(0.)
    """
    reduction = legacy(size_average, reduce, reduction)
    return _triplet(
        "triplet_margin_loss",
        anchor,
        positive,
        negative,
        lambda a, b: pairwise_distance(a, b, p, eps),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with a distance of one's own.

    Example:
        >>> anchor, near, far = lt.zeros(1, 2), lt.tensor([[1.0, 1.0]]), lt.tensor([[1.5, 0.0]])
        >>> lt.nn.functional.triplet_margin_with_distance_loss(
        ...     anchor, near, far, distance_function=lambda a, b: (a - b).abs().amax(1)
        ... )
        tensor(0.5000)
    """
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(
        "triplet_margin_with_distance_loss", anchor, positive, negative, distance, margin, swap, reduction
    )


def _triplet(
    op: str,
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    if margin <= 0:
        raise ValueError(f"{op}: expected a margin above 0, got {margin}")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(op, _above_zero(ops.add(ops.sub(near, far), margin)), reduction)
