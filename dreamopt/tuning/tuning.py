"""The tuning of all units of layers, from one set of stimuli for each size of what a layer sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.network import Network, Size
from dreamopt.parts.brief import brief
from dreamopt.parts.checks import check_whole
from dreamopt.progress import passes
from dreamopt.tuning.curves import TuningCurves
from dreamopt.tuning.field import SeenField, seen_field
from dreamopt.tuning.responses import responses_to
from dreamopt.tuning.shown import PHASES, Shown, shown_to
from dreamopt.tuning.stimuli import colour_of


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

    def __repr__(self) -> str:
        """Return one line: the layer, and which curves there are."""
        return brief("LayerTuning", self.layer, *(curve.kind for curve in self.curves), f"stimuli of {self.size[1]} x {self.size[0]}")


def layer_tuning(
    network: Network,
    layer: str,
    *,
    size: Size = None,
    orientations: int = 12,
    frequencies: int = 8,
    hues: int = 12,
    progress: bool | Callable[[int, int], object] | None = None,
) -> LayerTuning:
    """Return the tuning curves of all units of a layer; `layer_tunings` of one.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> tuning = layer_tuning(load_net(), "conv1/relu", orientations=6, frequencies=3, hues=4)
    >>> [curves.kind for curves in tuning.curves], tuning.places, tuning.field
    (['orientation', 'frequency', 'colour'], 'inside', 7)
    """
    return layer_tunings(network, [layer], size=size, orientations=orientations, frequencies=frequencies, hues=hues, progress=progress)[0]


def layer_tunings(
    network: Network,
    layers: Sequence[str],
    *,
    size: Size = None,
    orientations: int = 12,
    frequencies: int = 8,
    hues: int = 12,
    progress: bool | Callable[[int, int], object] | None = None,
) -> list[LayerTuning]:
    """Return the tuning curves of all units of layers.

    A response is the layer's highest value over places, less that to a grey image. Gratings have every orientation with every
    frequency in four phases, of which the highest response counts; a unit's curve of orientations is that at its best frequency, and the
    other way round. Colours of one brightness and saturation come as whole images, and as discs of half a receptive field on grey;
    the higher response counts. The same net and settings give the same numbers.

    Layers whose stimuli are the same share the passes, in which each layer's values have the bits that they have alone.

    Parameters
    ----------
    network : Network
        A net whose input is an image.
    layers : sequence of str
        The layers, before or after their ReLUs.
    size : int or (int, int), optional
        The largest stimuli; the net's own size by default. Layers that see less are shown less.
    orientations, frequencies, hues : int
        How many of each.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called as ``progress(done, count)`` after each pass with the number of
        stimuli, counted for each layer; what it raises ends the work.

    Returns
    -------
    list of LayerTuning
        In the order of ``layers``.

    Raises
    ------
    UsageError
        For a net whose input is no image.
    TargetError, ShapeError
        For an unknown layer, or one that cannot be reached with that size.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> names = ["mixed3/1x1/scale", "mixed3/3x3/scale", "mixed3/3x3_reduce/scale"]
    >>> [tuning.field for tuning in layer_tunings(load_net(), names, orientations=4, frequencies=2, hues=3)]
    [19, 27, 19]
    """
    check_image_input(network)
    numbers = [check_whole(name, number) for name, number in (("orientations", orientations), ("frequencies", frequencies), ("hues", hues))]
    fields = {name: seen_field(network, name, size) for name in map(network.resolve, layers)}
    groups = dict[tuple[tuple[int, int], int], list[str]]()
    for name, seen in fields.items():
        groups.setdefault(seen.stimuli, []).append(name)
    shown = {stimuli: shown_to(*stimuli, numbers, network.input_shape[0]) for stimuli in groups}
    count, done = sum(len(shown[stimuli].images) * len(names) for stimuli, names in groups.items()), 0
    found = dict[str, LayerTuning]()

    def passed(here: int) -> None:
        nonlocal done
        done = min(count, done + here)  # where memory runs out, passes are done again
        if report is not None:
            report(done, count)

    with passes.tuning(progress) as report:
        for stimuli, names in groups.items():
            responses = responses_to(network, {name: fields[name] for name in names}, shown[stimuli].images, passed)
            found |= {name: _tuning(name, fields[name], shown[stimuli], responses[name]) for name in names}
    return [found[network.resolve(layer)] for layer in layers]


def check_image_input(network: Network) -> None:
    """Raise a UsageError for a net that can be shown nothing."""
    if not network.has_image_input or network.preprocessing is None:
        raise UsageError("the net's input is no image, so that there are no gratings and colours to show it")


def _tuning(layer: str, seen: SeenField, shown: Shown, responses: Tensor) -> LayerTuning:
    """Return what the responses (stimuli, units) say."""
    gained = responses[1:] - responses[0]
    curves: list[TuningCurves] = []
    if shown.rates:
        curves += _grating_curves(gained[: shown.gratings], shown.angles, shown.rates)
    if shown.hues:
        by_hue = gained[shown.gratings :].reshape(len(shown.hues), 2, -1).amax(1)
        named = tuple("#" + "".join(f"{round(level):02x}" for level in colour_of(hue)) for hue in shown.hues)
        curves.append(TuningCurves("colour", "degrees of hue", shown.hues, by_hue.t().contiguous(), 360.0, named))
    where = "all" if seen.places is None else "inside"
    return LayerTuning(layer, tuple(curves), shown.left_out, where, seen.length, seen.size)


def _grating_curves(gained: Tensor, angles: tuple[float, ...], rates: tuple[float, ...]) -> list[TuningCurves]:
    """Return the curves of orientation, each at its unit's best frequency, and of frequency, each at its best orientation."""
    best = gained.reshape(len(rates), len(angles), len(PHASES), -1).amax(2)
    units = torch.arange(best.shape[2])
    peak = best.flatten(0, 1).argmax(0)
    of_angle = best[peak // len(angles), :, units]
    of_rate = best[:, peak % len(angles), units].t().contiguous()
    return [
        TuningCurves("orientation", "degrees", angles, of_angle, 180.0),
        TuningCurves("frequency", "cycles per receptive field", rates, of_rate),
    ]
