"""What a layer type is checked on: parameters, shapes of bottoms, and which of them hold labels."""

from __future__ import annotations

from dataclasses import dataclass

MAP = (2, 3, 5, 4)
"""The shape (N, C, H, W) of a bottom that holds a map: no two sizes are equal."""


@dataclass(frozen=True)
class Example:
    """One layer of a type, as `dreamopt.testing.check_part` makes it; with the defaults, a layer of one map without parameters.

    Bottoms and weights are filled with numbers in float64 that lie apart from each other and from 0, where kinks are.

    Parameters
    ----------
    params : str
        What the prototxt says in the layer beside its name, type, bottoms and tops: ``"power_param { power: 3 }"``.
    shapes : tuple of Shape
        The bottoms' shapes.
    tops : int
        How many tops it has.
    phase : {"TEST", "TRAIN"}
        The net's phase.
    labels : tuple of int, optional
        The bottoms that hold labels, places or boxes: they are filled with 0 and 1, and no gradient reaches them. Default: the
        type's ``no_gradient``.
    fixed : tuple of int
        Further bottoms that no gradient reaches, such as one of which only the size counts.
    fixed_weights : tuple of int
        Weights that no gradient reaches, such as a variance that is stored.
    positive : bool
        Whether bottoms and weights are from 0 to 2, not from -1 to 1.
    per_sample : bool
        Whether each sample (one index of axis 0) is computed from its own alone, where bottoms and tops have as many of them.
    step : float
        The step of the finite differences: larger for a layer that computes in float32 only.

    Examples
    --------
    >>> Example("power_param { power: 3 }").shapes
    ((2, 3, 5, 4),)
    """

    params: str = ""
    shapes: tuple[tuple[int, ...], ...] = (MAP,)
    tops: int = 1
    phase: str = "TEST"
    labels: tuple[int, ...] | None = None
    fixed: tuple[int, ...] = ()
    fixed_weights: tuple[int, ...] = ()
    positive: bool = False
    per_sample: bool = True
    step: float = 1e-6
