"""Share: a penalty whose weight follows the objective's gradient, so that one number fits every net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, Fields, Number, Penalty, StepContext, Tuned, at


@dataclass(frozen=True)
class Share(Penalty):
    r"""Subtract a penalty's gradient at a share of the size of the objective's, whatever the net.

    .. math:: g_n = \nabla O_n - s\, \frac{\|\nabla O_n\|}{\|\nabla R_n\|} \nabla R_n

    with the gradients at the image, and the Euclidean norm over the image. A weight is in units of the objective, which differ between
    nets, layers and units by factors of thousands; a share has no unit. Below 1 the penalty never outweighs the objective: since

    .. math:: \langle g_n, \nabla O_n \rangle \ge (1 - s) \|\nabla O_n\|^2

    a small step of pixels along g still raises the objective, and an image does not end as a flat one.

    The penalty counts in the gradient alone: the value that is reported is the objective's. A line search (scipy's, L-BFGS) may find that
    the value does not rise as the gradient says.

    Parameters
    ----------
    term : Penalty
        R, or its string. Its own weight is without effect, but for the ratios of a sum.
    share : float or Schedule
        s, at least 0. 0.1 to 0.5 smooth visibly; above 1 the penalty outweighs the objective.

    References
    ----------
    .. [1] Esser, Rombach, Ommer, "Taming Transformers for High-Resolution Image Synthesis", 2021, equation 7 (a loss
       weighted by the ratio of two gradients' norms).

    Examples
    --------
    >>> from dreamopt.regularizers import L2
    >>> x = torch.tensor([[[[3.0, 4.0]]]], requires_grad=True)
    >>> penalty = Share(L2(1), 0.5)(x, StepContext(gradient=torch.tensor([[[[0.0, 10.0]]]])))
    >>> penalty.item(), torch.autograd.grad(penalty.sum(), x)[0]
    (0.0, tensor([[[[3., 4.]]]]))
    """

    examples: ClassVar = (
        "share(total_variation(1), 0.3)",
        "share(l2(1), Linear(0.5, 0.1))",
    )

    tuned: ClassVar = {"share": Tuned(0.01, 1)}

    term: Penalty
    share: Number

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("share", NOT_NEGATIVE)
        if not isinstance(self.term, Penalty) or isinstance(self.term, Share):
            raise RegularizerError(f"share takes a penalty and a number, as in 'share(total_variation(1), 0.1)', not {self.term!r}")

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """A rule: the value stays 0."""
        return "rule"

    @property
    def zero_at_mean(self) -> bool:
        """As its term."""
        return self.term.zero_at_mean

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return zeros, (N,), that have the gradient; none where the objective's is not known."""
        if context.gradient is None or not torch.is_grad_enabled():
            self.term(image.detach(), context)  # which refuses what it cannot judge
            return image.new_zeros(len(image))
        leaf = image.detach().requires_grad_()
        value = self.term(leaf, context)
        if not value.requires_grad:
            return image.new_zeros(len(image))
        (own,) = torch.autograd.grad(value.sum(), leaf)
        # Row by row, so that a sample has the same bits in any batch.
        sizes = torch.stack([row.norm() for row in own.flatten(1)])
        wanted = torch.stack([row.norm() for row in context.gradient.to(own).flatten(1)]) * at(self.share, context)
        factor = torch.where(sizes > 0, wanted / torch.where(sizes > 0, sizes, 1), 0).reshape(-1, *[1] * (image.dim() - 1))
        return ((image - image.detach()) * (own * factor)).flatten(1).sum(1)
