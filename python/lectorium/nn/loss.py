"""Losses for classification and regression as layers; those on pairs and triples are in ``loss_margin``."""

from __future__ import annotations

from .._core import Tensor
from . import functional as F
from .functional._reduction import legacy
from .functional.ctc import Lengths
from .module import Module


class _Loss(Module):
    reduction: str

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.reduction = legacy(size_average, reduce, reduction)


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """``-log softmax(input)[target]``; see ``functional.cross_entropy``.

    Example:
        >>> loss = lt.nn.CrossEntropyLoss()
        >>> loss(lt.zeros(2, 10), lt.tensor([3, 7]))
        tensor(2.3026)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """``-input[target]`` of log probabilities; see ``functional.nll_loss``.

    Example:
        >>> log_probs = lt.tensor([[0.5, 0.25, 0.25]]).log()
        >>> lt.nn.NLLLoss()(log_probs, lt.tensor([0])), lt.nn.NLLLoss()(log_probs, lt.tensor([1]))
        (tensor(0.6931), tensor(1.3863))
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class MSELoss(_Loss):
    """``(input - target)²``.

    Example:
        >>> lt.nn.MSELoss(reduction="sum")(lt.zeros(3), lt.ones(3))
        tensor(3.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """``|input - target|``.

    Example:
        >>> lt.nn.L1Loss(reduction="none")(lt.tensor([1.0, -2.0]), lt.tensor([0.0, 2.0]))
        tensor([1., 4.])
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Quadratic below ``beta``, linear above (Girshick 2015); see ``functional.smooth_l1_loss``.

    Example:
        >>> error = lt.tensor([0.5, 4.0])
        >>> lt.nn.SmoothL1Loss(reduction="none", beta=2.0)(error, lt.zeros(2))
        tensor([0.0625, 3.0000])
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Quadratic below ``delta``, linear above (Huber 1964); see ``functional.huber_loss``.

    Example:
        >>> error = lt.tensor([0.5, 4.0])
        >>> lt.nn.HuberLoss("none", delta=2.0)(error, lt.zeros(2))
        tensor([0.1250, 6.0000])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_WeightedLoss):
    """Binary cross entropy of probabilities; see ``functional.binary_cross_entropy``.

    Example:
        >>> p = lt.tensor([0.9, 0.5, 0.0])
        >>> lt.nn.BCELoss(reduction="none")(p, lt.ones(3))
        tensor([  0.1054,   0.6931, 100.0000])
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of raw scores; see ``functional.binary_cross_entropy_with_logits``.

    Example:
        >>> scores, target = lt.tensor([100.0, -100.0]), lt.tensor([1.0, 1.0])
        >>> lt.nn.BCEWithLogitsLoss(reduction="none")(scores, target)
        tensor([  0., 100.])
        >>> lt.nn.BCEWithLogitsLoss(pos_weight=lt.tensor(3.0))(lt.zeros(1), lt.ones(1))
        tensor(2.0794)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """``target (log target - input)`` of log probabilities; see ``functional.kl_div``.

    Example:
        >>> p, q = lt.tensor([[0.5, 0.5]]), lt.tensor([[0.9, 0.1]])
        >>> lt.nn.KLDivLoss(reduction="batchmean")(q.log(), p)
        tensor(0.5108)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """The negative log likelihood of counts; see ``functional.poisson_nll_loss``.

    Example:
        >>> loss = lt.nn.PoissonNLLLoss(log_input=False, reduction="none")
        >>> loss(lt.tensor([3.0, 4.0, 5.0]), lt.full((3,), 4.0))
        tensor([-1.3944, -1.5452, -1.4378])
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(
            log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(_Loss):
    """The negative log likelihood under normal distributions; see ``functional.gaussian_nll_loss``.

    Example:
        >>> loss = lt.nn.GaussianNLLLoss()
        >>> off_by_3 = lt.tensor([3.0])
        >>> loss(off_by_3, lt.zeros(1), lt.tensor([1.0])), loss(off_by_3, lt.zeros(1), lt.tensor([9.0]))
        (tensor(4.5000), tensor(1.5986))
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class CTCLoss(Module):
    """Connectionist temporal classification; see ``functional.ctc_loss``.

    Example:
        >>> loss = lt.nn.CTCLoss()
        >>> x = lt.randn(50, 16, 20, requires_grad=True)
        >>> targets, lengths = lt.randint(1, 20, (16, 30)), lt.randint(10, 30, (16,))
        >>> loss(x.log_softmax(2), targets, (50,) * 16, lengths).backward()
        >>> x.grad.shape
        (50, 16, 20)
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        self.blank = blank
        self.reduction = reduction
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths
    ) -> Tensor:
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
