"""The value and gradient of a problem, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one evaluation of a problem gives, per sample, without autograd's graph.

    Parameters
    ----------
    values : Tensor
        (N,) objective minus penalties: what is maximised.
    objective, penalties : Tensor
        (N,) the two parts.
    gradient : Tensor
        (N, ...) of ``values.sum()`` with respect to the parameters.
    image_gradient : Tensor
        (N, C, H, W) the objective's part alone, at the image.
    is_argmax : Tensor or None
        (N,) whether each sample's unit is the highest of its layer, where the objective can tell.
    redirected : Tensor or None
        (N,) whether each sample's gradient was redirected at a ReLU that stopped it; None where the rule did not hold.
    redirected_at : mapping of str to Tensor
        The same for each ReLU, by the layer's name.
    """

    values: Tensor
    objective: Tensor
    penalties: Tensor
    gradient: Tensor
    image_gradient: Tensor
    is_argmax: Tensor | None = None
    redirected: Tensor | None = None
    redirected_at: Mapping[str, Tensor] = field(default_factory=dict)

    def dead(self) -> list[int]:
        """Return the places in the batch of the samples whose objective has a gradient of exactly zero."""
        alive = (self.image_gradient != 0).flatten(1).any(1)
        return [i for i, a in enumerate(alive.tolist()) if not a]

    def select(self, places: Sequence[int]) -> Evaluation:
        """Return the evaluation of the samples at these places in the batch."""
        rows = list(places)
        return Evaluation(
            values=self.values[rows],
            objective=self.objective[rows],
            penalties=self.penalties[rows],
            gradient=self.gradient[rows],
            image_gradient=self.image_gradient[rows],
            is_argmax=None if self.is_argmax is None else self.is_argmax[rows],
            redirected=None if self.redirected is None else self.redirected[rows],
            redirected_at={layer: samples[rows] for layer, samples in self.redirected_at.items()},
        )
