"""Baselines: what stands for an image, or a part of it, that is not there; one door for every method and metric that needs one."""

from __future__ import annotations

from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import Colour, checked_colour, colour_tensor
from dreamopt.image.filters import gaussian
from dreamopt.parts.checks import plain_number, several, shown
from dreamopt.parts.image_space import ImageSpace

Baseline = Colour
"""A baseline: "mean" (0 of the net's input space: the mean that was subtracted; zeros where the input is no image), "black", "grey",
"white", a grey level 0-255, three of them (red, green, blue), or "blur" (the image itself, strongly blurred)."""
Baselines = Baseline | tuple[Baseline, ...]
"""One baseline, or several whose results are averaged."""
BLUR = 0.1
"""The blur's standard deviation, as a part of the input's shorter side: 22 pixels of 224, as in extremal perturbation (21)."""


def checked_baseline(baseline: object) -> Baseline:
    """Return a baseline, known to be well formed.

    Raises
    ------
    UsageError
        For anything that is no baseline.

    Examples
    --------
    >>> checked_baseline([255, 0, 0])
    (255, 0, 0)
    >>> checked_baseline("zero")
    Traceback (most recent call last):
    dreamopt.errors.UsageError: a baseline is mean, black, grey, white, blur, a grey level from 0 to 255, or (red, green, blue), not 'zero'
    """
    if isinstance(baseline, str) and baseline == "blur":
        return baseline
    try:
        return checked_colour(baseline)
    except UsageError:
        kinds = "mean, black, grey, white, blur, a grey level from 0 to 255, or (red, green, blue)"
        raise UsageError(f"a baseline is {kinds}, not {shown(baseline)}") from None


def checked_baselines(baselines: object) -> Baselines:
    """Return one baseline, or a tuple of several; three numbers are one colour.

    Raises
    ------
    UsageError
        For anything that is no baseline.

    Examples
    --------
    >>> checked_baselines(["black", "white"]), checked_baselines((0, 0, 255))
    (('black', 'white'), (0, 0, 255))
    """
    many = several(baselines)
    if not many or all(plain_number(one) is not None for one in many):
        return checked_baseline(baselines)
    return tuple(checked_baseline(one) for one in many)


def each_baseline(baselines: Baselines) -> tuple[Baseline, ...]:
    """Return checked baselines one by one.

    >>> each_baseline((0, 0, 255)), each_baseline(("black", "white"))
    (((0, 0, 255),), ('black', 'white'))
    """
    if isinstance(baselines, tuple) and not all(plain_number(one) is not None for one in baselines):
        return tuple(checked_baseline(one) for one in baselines)
    return (checked_baseline(baselines),)


def baseline_images(baseline: Baseline, images: Tensor, space: ImageSpace | None) -> Tensor:
    """Return the baseline of each image of a batch.

    Parameters
    ----------
    baseline : Baseline
        As in `Baseline`. A blur has a standard deviation of `BLUR` times the input's shorter side, with the image mirrored at its edges.
    images : Tensor
        (N, C, H, W), (N, C, ...) or (N, K), in the net's input space.
    space : ImageSpace or None
        Knows black and white; not needed for "mean" and "blur".

    Returns
    -------
    Tensor
        Of the images' shape, each from its image alone.

    Raises
    ------
    UsageError
        For a colour other than "mean" where the net takes no images, and "blur" of an input without places.

    Examples
    --------
    >>> import torch
    >>> baseline_images("mean", torch.ones(1, 2, 1, 2), None).flatten()
    tensor([0., 0., 0., 0.])
    """
    if baseline == "blur":
        if images.dim() < 3:
            raise UsageError(f"an input of shape {tuple(images.shape[1:])} has no places to blur; 'mean' always goes")
        return gaussian(images, BLUR * min(images.shape[2:]))
    if baseline != "mean" and (space is None or space.black is None):
        raise UsageError(f"baseline {baseline!r} needs a net that takes images; 'mean' (zeros) always goes")
    return colour_tensor(baseline, images, space).expand_as(images)
