"""An objective of several views of each sample."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamopt.objective.objective import Activations, Objective


def values_of_views(objective: Objective, activations: Activations, views: int) -> Tensor:
    """Return the objective's value of each view of each sample, (views, N).

    Parameters
    ----------
    objective : Objective
        Of N samples.
    activations : mapping of str to Tensor
        (N views, ...) by layer, all views of a sample side by side.
    views : int
        How many of each.

    Examples
    --------
    >>> from dreamopt.objective.strings import parse
    >>> values_of_views(parse("fc:1"), {"fc": torch.arange(8.0).reshape(4, 2)}, 2)
    tensor([[1., 5.],
            [3., 7.]])
    """
    return torch.stack([objective({name: value[view::views] for name, value in activations.items()}) for view in range(views)])
