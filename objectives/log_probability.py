"""A class's log-probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective import Activations, Fields, Layers, Unit, UnitObjective, per_item, pick


@dataclass(frozen=True)
class LogProbability(UnitObjective):
    r"""The logarithm of one class's probability, the softmax taken here over the layer's units.

    .. math:: s_n = a_{n, c_n} - \log \sum_k e^{a_{n, k}}

    On a classifier that slides over the image, (N, K, H, W), it is averaged over space. Besides raising its class it pushes
    all others down, in proportion to their probability.

    Parameters
    ----------
    layer : str
        The classifier's last layer **before** the softmax, for instance ``fc8``.
    unit : int, str, or a sequence of these
        The class's number, or its name when the network knows its labels; a sequence gives one to each item.
    own_logit_only : bool
        Whether only the class's own part of the gradient is kept, ``1 - p``, as PPGN does; the other classes are then not
        pushed down.

    References
    ----------
    .. [1] Nguyen et al., "Plug & Play Generative Networks", 2017.

    Examples
    --------
    >>> print(LogProbability("fc8", "tabby cat"))
    LogProbability("fc8", "tabby cat")
    """

    examples: ClassVar = (
        "log_probability({classifier}, 5)",
        "log_probability({classifier}, (5, 1, 0))",
        "log_probability({classifier}, {label})",
        "log_probability({classifier}, ({label}, 6, 3))",
        "log_probability({layer2}, 3)",
        "log_probability({layer2}, (3, 1, 2))",
        "log_probability({classifier}, 5, own_logit_only=True)",
        "log_probability({classifier}, (5, 1, 0), own_logit_only=True)",
        "log_probability({layer2}, 3, own_logit_only=True)",
        "log_probability({layer2}, (3, 1, 2), own_logit_only=True)",
    )

    takes_labels: ClassVar[bool] = True

    layer: str
    unit: Unit
    own_logit_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).flag("own_logit_only")

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """A rule where only the class's own part is kept."""
        return "rule" if self.own_logit_only else "derivative"

    @property
    def additive(self) -> Literal["mean"]:
        """A mean over places."""
        return "mean"

    def value(self, activations: Activations) -> Tensor:
        """Return each item's log-probability."""
        a = activations[self.layer]
        unit = self.checked_unit(tuple(a.shape[1:]))
        if self.own_logit_only:
            own = torch.zeros_like(a, dtype=torch.bool)
            for i in range(a.shape[0]):
                own[i, per_item(unit, i)] = True
            a = torch.where(own, a, a.detach())
        return pick(torch.log_softmax(a, 1), unit).reshape(a.shape[0], -1).mean(1)

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Turn names into numbers and check them.

        Raises
        ------
        TargetError
            For an unknown layer, a name that is no label or several, a number out of range, or a layer of one unit.
        """
        bound = super().bind(network, size)
        if network.shape_of(bound.layer, size)[0] == 1:
            raise TargetError(f"layer '{bound.layer}' has one unit only, whose probability is always 1")
        return bound
