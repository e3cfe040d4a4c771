"""The tuning of all units of a layer, from one set of stimuli."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.network import Network, Size
from dreamopt.parts.checks import check_whole
from dreamopt.tuning.curves import TuningCurves
from dreamopt.tuning.field import SeenField, seen_field
from dreamopt.tuning.stimuli import GREY, Levels, colour_field, colour_of, grating

_SLOWEST = 0.5
"""Cycles per receptive field of the coarsest grating."""
_FINEST = 2.5
"""Pixels from bar to bar of the finest one; at 2 all that is left of a slanted grating are beats."""
_PHASES = (0.0, 90.0, 180.0, 270.0)
_LEAST_FIELD = 3
"""Pixels of a receptive field from which on bars can be distinguished."""


@dataclass(frozen=True, eq=False)
class LayerTuning:
    """How the units of a layer are tuned.

    Parameters
    ----------
    layer : str
        The layer.
    curves : tuple of TuningCurves
        Orientation and frequency of gratings, and colour; those that there are.
    left_out : tuple of str
        Which there are not, and why, one sentence each.
    places : {"inside", "all"}
        Over which places of the map the highest response was taken: those that see no border of the stimuli, or, where no place is
        without, all.
    field : int
        Pixels of a receptive field's shorter side.
    size : (int, int)
        Of the stimuli, in pixels.
    """

    layer: str
    curves: tuple[TuningCurves, ...]
    left_out: tuple[str, ...]
    places: str
    field: int
    size: tuple[int, int]


def layer_tuning(
    network: Network,
    layer: str,
    *,
    size: Size = None,
    orientations: int = 12,
    frequencies: int = 8,
    hues: int = 12,
    progress: Callable[[int, int], object] | None = None,
) -> LayerTuning:
    """Return the tuning curves of all units of a layer.

    A response is the layer's highest value over places, less that to a grey image. Gratings have every orientation with every
    frequency in four phases, of which the highest response counts; a unit's curve of orientations is that at its best frequency, and the
    other way round. Colours of one brightness and saturation come as whole images, and as discs of half a receptive field on grey;
    the higher response counts. The same net and settings give the same numbers.

    Parameters
    ----------
    network : Network
        A net whose input is an image.
    layer : str
        The layer, before or after its ReLU.
    size : int or (int, int), optional
        The largest stimuli; the net's own size by default. Layers that see less are shown less.
    orientations, frequencies, hues : int
        How many of each.
    progress : callable, optional
        Called as ``progress(done, count)`` after each pass with the number of stimuli; what it raises ends the work.

    Raises
    ------
    UsageError
        For a net whose input is no image.
    TargetError, ShapeError
        For an unknown layer, or one that cannot be reached with that size.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> tuning = layer_tuning(load_net(), "conv1/relu", orientations=6, frequencies=3, hues=4)
    >>> [curves.kind for curves in tuning.curves], tuning.places, tuning.field
    (['orientation', 'frequency', 'colour'], 'inside', 7)
    """
    if not network.has_image_input or network.preprocessing is None:
        raise UsageError("the net's input is no image, so that there are no gratings and colours to show it")
    orientations, frequencies, hues = (
        check_whole(name, number) for name, number in (("orientations", orientations), ("frequencies", frequencies), ("hues", hues))
    )
    seen = seen_field(network, layer, size)
    left_out: list[str] = []
    angles = [180.0 * i / orientations for i in range(orientations)]
    rates: list[float] = []
    if seen.length >= _LEAST_FIELD:
        rates = [float(rate) for rate in np.geomspace(_SLOWEST, max(_SLOWEST, seen.length / _FINEST), frequencies)]
    else:
        left_out.append(f"orientation and frequency: a place sees {seen.length} pixel(s), in which no bars can be distinguished")
    stimuli: list[Callable[[], Levels]] = [lambda: np.full(seen.size, GREY)]
    for rate in rates:
        for angle in angles:
            stimuli += [_Grating(seen.size, angle, seen.length / rate, phase) for phase in _PHASES]
    gratings = len(stimuli)
    at_hues = [360.0 * i / hues for i in range(hues)]
    if network.input_shape[0] == 3:
        stimuli += [_Colour(seen.size, hue, diameter) for hue in at_hues for diameter in (None, seen.length / 2)]
    else:
        left_out.append(f"colour: the net's input has {network.input_shape[0]} channel(s), not three")
    responses = _responses(network, layer, seen, stimuli, progress)
    gained = responses[1:] - responses[0]
    curves: list[TuningCurves] = []
    if rates:
        curves += _grating_curves(gained[: gratings - 1], angles, rates)
    if len(stimuli) > gratings:
        by_hue = gained[gratings - 1 :].reshape(hues, 2, -1).amax(1)
        named = tuple("#" + "".join(f"{round(level):02x}" for level in colour_of(hue)) for hue in at_hues)
        curves.append(TuningCurves("colour", "degrees of hue", tuple(at_hues), by_hue.t().contiguous(), 360.0, named))
    where = "all" if seen.places is None else "inside"
    return LayerTuning(network.resolve(layer), tuple(curves), tuple(left_out), where, seen.length, seen.size)


@dataclass(frozen=True)
class _Grating:
    size: tuple[int, int]
    orientation: float
    wavelength: float
    phase: float

    def __call__(self) -> Levels:
        return grating(self.size, self.orientation, self.wavelength, self.phase)


@dataclass(frozen=True)
class _Colour:
    size: tuple[int, int]
    hue: float
    diameter: float | None

    def __call__(self) -> Levels:
        return colour_field(self.size, colour_of(self.hue), self.diameter)


def _responses(
    network: Network,
    layer: str,
    seen: SeenField,
    stimuli: Sequence[Callable[[], Levels]],
    progress: Callable[[int, int], object] | None,
) -> Tensor:
    """Return the highest values of a layer's units for each stimulus, (stimuli, units)."""
    name, parts = network.resolve(layer), []
    for part in network.together.parts([name], seen.size, len(stimuli)):
        x = torch.stack([network.from_rgb(stimuli[i]()) for i in part])
        with torch.no_grad():
            parts.append(seen.highest(network.activations(x, [name])[name]).cpu())
        if progress is not None:
            progress(part.stop, len(stimuli))
    return torch.cat(parts)


def _grating_curves(gained: Tensor, angles: list[float], rates: list[float]) -> list[TuningCurves]:
    """Return the curves of orientation, each at its unit's best frequency, and of frequency, each at its best orientation."""
    best = gained.reshape(len(rates), len(angles), len(_PHASES), -1).amax(2)
    units = torch.arange(best.shape[2])
    peak = best.flatten(0, 1).argmax(0)
    of_angle = best[peak // len(angles), :, units]
    of_rate = best[:, peak % len(angles), units].t().contiguous()
    return [
        TuningCurves("orientation", "degrees", tuple(angles), of_angle, 180.0),
        TuningCurves("frequency", "cycles per receptive field", tuple(rates), of_rate),
    ]
