"""Occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.baselines import Baseline, baseline_images, checked_baseline
from dreamopt.attribution.masking import Masked, sides_of
from dreamopt.attribution.method import AttributionMethod, Maps
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError
from dreamopt.parts.checks import LARGEST_SIDE, Range, check_number, several, shown

Lengths = int | float | tuple[int | float, ...] | None
"""Pixels, or below 1 a part of the side; one for each axis, or one for all; None for a default."""
_WINDOW = 0.15
_LENGTH = Range(0, LARGEST_SIDE, above=True)


@dataclass(frozen=True)
class Occlusion(AttributionMethod):
    r"""How far the score falls when a part of the image is covered.

    .. math:: M_p = \frac{1}{|W_p|} \sum_{w \in W_p} \big(s(x) - s(x_w)\big)

    over the windows :math:`W_p` that cover place p; :math:`x_w` is the image with the baseline in window w. In scores; below 0 where what
    is covered spoke against the unit. Windows lie ``stride`` apart from the first row and column on, and at the far edges. It needs no
    gradient, and says what a change does that is not small; but what is covered has neighbours that may say the same.

    Of an input that is no image, windows lie along all axes but the first one; of a vector, each covers one value by default.

    Parameters
    ----------
    window : int, float or a tuple of these, optional
        The windows' sides: a whole number of pixels, or, below 1, a part of the input's side; (height, width), or one for both. 0.15 by
        default, 34 pixels of 227; of a vector, one value.
    stride : int, float or a tuple of these, optional
        From one window to the next, in the same units, at most the window's side; half of it by default. The time goes with its inverse
        square.
    baseline : str, float or tuple
        What covers: "mean" (0 of the net's input space), "black", "grey", "white", "blur", a grey level, or (red, green, blue).

    References
    ----------
    .. [1] Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 4.2.

    Examples
    --------
    >>> print(Occlusion(window=50, stride=10))
    occlusion(window=50, stride=10)
    """

    examples: ClassVar[tuple[str, ...]] = ("occlusion()", "occlusion(window=(4, 0.3), stride=2)", 'occlusion(window=0.4, baseline="blur")')

    window: Lengths = None
    stride: Lengths = None
    baseline: Baseline = "mean"

    def __post_init__(self) -> None:
        for name in ("window", "stride"):
            object.__setattr__(self, name, _checked(f"{name} of Occlusion", getattr(self, name)))
        object.__setattr__(self, "baseline", checked_baseline(self.baseline))

    def evaluations(self) -> int | None:
        """Return None: it depends on the images' size."""
        return None

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the mean fall of the score over the windows that cover each place."""
        axes = sides_of(images)
        window, stride = self.sides(axes, vector=images.dim() == 2)
        starts = [_starts(*numbers) for numbers in zip(axes, window, stride, strict=True)]
        corners = list(product(*starts))

        def visible(part: range) -> Tensor:
            masks = images.new_ones(len(part), *axes)
            for mask, corner in zip(masks, corners[part.start : part.stop], strict=True):
                mask[tuple(slice(first, first + side) for first, side in zip(corner, window, strict=True))] = 0
            return masks

        hidden = baseline_images(self.baseline, images, score.space)
        whole = score.values(images).double()
        masked = Masked(score, images, hidden, len(corners), visible, lambda masks: 1 - masks)
        means = masked.weighted / masked.total
        falls = whole.view(-1, *(1 for _ in axes)) - means
        return Maps(masked.maps(falls, images), {"window": [window] * len(images), "windows": [len(corners)] * len(images)})

    def sides(self, axes: tuple[int, ...], *, vector: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the windows' sides and strides for an input of these sides.

        Raises
        ------
        UsageError
            For another number of sides than the input has, or a stride above the window's side.

        Examples
        --------
        >>> Occlusion().sides((227, 227)), Occlusion(window=(30, 0.5), stride=9).sides((60, 50))
        (((34, 34), (17, 17)), ((30, 25), (9, 9)))
        """
        window = _lengths("window", (1 if vector else _WINDOW) if self.window is None else self.window, axes)
        if self.stride is None:
            return window, tuple(max(1, side // 2) for side in window)
        stride = _lengths("stride", self.stride, axes)
        if any(step > side for step, side in zip(stride, window, strict=True)):
            raise UsageError(f"a stride of {stride} leaves gaps between windows of {window}; it is at most the window's side")
        return window, stride


def _checked(what: str, value: Lengths) -> Lengths:
    if value is None:
        return None
    many = several(value)
    if many is None:
        return _length(what, value)
    if not many:
        raise UsageError(f"{what} must be a length, or one for each axis, not {shown(value)}")
    return tuple(_length(what, one) for one in many)


def _length(what: str, value: object) -> float:
    length = check_number(what, value, _LENGTH)
    if length > 1 and length != int(length):
        raise UsageError(f"{what} must be a whole number of pixels, or below 1 a part of the side, not {shown(value)}")
    return int(length) if length >= 1 else length


def _lengths(name: str, given: int | float | tuple[int | float, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return lengths in places, at most the sides."""
    each = given if isinstance(given, tuple) else (given,) * len(axes)
    if len(each) != len(axes):
        raise UsageError(f"{name} of Occlusion has {len(each)} numbers, {each}, but the input has {len(axes)} sides, {axes}")
    return tuple(min(side, max(1, round(length * side) if length < 1 else int(length))) for length, side in zip(each, axes, strict=True))


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Return where windows begin along a side: the last one ends at its end.

    >>> _starts(10, 4, 3), _starts(11, 4, 3), _starts(4, 4, 2)
    ([0, 3, 6], [0, 3, 6, 7], [0])
    """
    starts = list(range(0, side - window + 1, stride))
    return starts if starts[-1] + window == side else [*starts, side - window]
