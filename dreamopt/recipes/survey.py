"""Survey: one pass of a set of images through a net, for all units of many layers at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamopt.dataset.frames import Fit, read_frame
from dreamopt.dataset.histogram import Histograms
from dreamopt.dataset.listing import Listing
from dreamopt.dataset.sampled_maxima import SampledMaxima
from dreamopt.dataset.sampled_places import Places, SampledPlaces
from dreamopt.dataset.stream import Progress, Reducer
from dreamopt.dataset.top_images import TopImage, image_at, ranked_images, rounded
from dreamopt.dataset.top_k import TopK
from dreamopt.errors import DreamoptWarning, ImageError, UsageError
from dreamopt.image.files import RGBImage
from dreamopt.network import Network, Size
from dreamopt.objectives import Channel
from dreamopt.parts.arguments import check_path
from dreamopt.parts.brief import brief, counted
from dreamopt.parts.checks import Range, check_number, check_whole, several, shown
from dreamopt.progress.passes import ranking
from dreamopt.recipes.output import described_differences
from dreamopt.recipes.pass_folder import PassFolder
from dreamopt.recipes.passing import SECONDS, request_of, run_pass

QUANTILES = (0.99, 0.9, 0.75, 0.5)
"""Of the highest values of a unit in each image: strong, and down to usual."""
SAMPLE = 500
"""Images of which the quantiles are taken."""
_MOST = Range(1, 10_000)
_COUNT = Range(0, 2**53)
_UNRECTIFIED = ("Softmax", "Sigmoid")
_RECTIFIERS = ("ReLU",)


class Shown(NamedTuple):
    """An example of a unit.

    Parameters
    ----------
    layer, unit : str, int
        The unit.
    kind : {"top", "quantile"}
        Why it is shown.
    rank : int
        Its place among those of its kind, from 0.
    image : TopImage
        The image, with what of it the unit sees.
    quantile : float or None
        Of the unit's highest values.
    """

    layer: str
    unit: int
    kind: str
    rank: int
    image: TopImage
    quantile: float | None = None


@dataclass(frozen=True, eq=False)
class Survey:
    """What a pass found of all units of several layers.

    Parameters
    ----------
    network : Network
        The net.
    layers : tuple of str
        The layers.
    progress : Progress
        How far the pass is: images seen, images skipped with the reasons, whether it is complete.
    fit : Fit
        How images became the net's input.
    histograms, top, maxima, sampled
        The reducers; ``sampled`` is None where no positions were asked for.
    quantiles : tuple of float
        Of the examples.
    folders : tuple of str
        The folders of the set, which names of images leave out.
    """

    network: Network
    layers: tuple[str, ...]
    progress: Progress
    fit: Fit
    histograms: Histograms
    top: TopK
    maxima: SampledMaxima
    sampled: SampledPlaces | None
    quantiles: tuple[float, ...]
    folders: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line: layers and images."""
        images = counted(self.progress.images, "image") + ("" if self.progress.complete else " so far")
        return brief("Survey", ", ".join(self.layers), images)

    def describe(self, layer: str, unit: int) -> dict[str, Any]:
        """Return what is known of a unit without its examples, fit for JSON: `Histograms.describe` with ``images`` and ``state``."""
        return {"images": self.progress.images, "state": self.state_of(layer, unit)} | self.histograms.describe(layer, unit)

    def state_of(self, layer: str, unit: int) -> str:
        """Return "dead", "always on" or "active", of a unit whose layer is rectified: its values are, or what reads them is a ReLU.

        Dead: no value above zero at any place of any image. Always on: no value that is not. Units of other layers are dead where all
        values are zero, else active.
        """
        low, high = float(self.histograms.lowest[layer][unit]), float(self.histograms.highest[layer][unit])
        if not self.histograms.counts[layer][unit].any():
            return "active"
        if low == high == 0 or (self._rectified[layer] and high <= 0):
            return "dead"
        return "always on" if self._rectified[layer] and low > 0 else "active"

    @cached_property
    def _rectified(self) -> Mapping[str, bool]:
        graph, infos, found = self.network.graph, self.network.layers, {}
        for layer in self.layers:
            i, j = graph.value(layer)
            readers = [infos[reader].type for reader in _readers(self.network, (i, j))]
            into_relu = bool(readers) and all(kind in _RECTIFIERS for kind in readers)
            never_below = bool((self.histograms.lowest[layer] >= 0).all()) and infos[i].type not in _UNRECTIFIED
            found[layer] = into_relu or never_below
        return found

    def shown(self, layer: str, unit: int) -> list[Shown]:
        """Return a unit's examples: the images of its highest values, strongest first, then those by quantile."""
        number = self._first[layer] + unit
        ranked = ranked_images(self.top, number, self.progress, self.fit)
        found = [Shown(layer, unit, "top", rank, image) for rank, image in enumerate(ranked)]
        for rank, quantile in enumerate(self.quantiles):
            example = self.maxima.example(layer, unit, quantile)
            if example is not None:
                entry, seen = self.progress.entries[example.index], self.maxima.seen(example.index)
                image = image_at(self.top, number, entry, seen, example.value, example.place, self.fit)
                found.append(Shown(layer, unit, "quantile", rank, image, quantile))
        return found

    def crops(self, shown: Sequence[Shown]) -> Iterator[tuple[Shown, RGBImage | None]]:
        """Read each image of several examples once, and yield each with its crop; None where the image has changed since, or is gone."""
        by_image: dict[int, list[Shown]] = {}
        for one in shown:
            by_image.setdefault(one.image.index, []).append(one)
        for index in sorted(by_image):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DreamoptWarning)  # the pass noted it
                    levels = rounded(read_frame(by_image[index][0].image.entry, self.fit, self.network).image)
            except ImageError:
                yield from ((one, None) for one in by_image[index])
                continue
            yield from ((one, one.image.cut(levels)) for one in by_image[index])

    def places(self, layer: str) -> Places:
        """Return the sampled positions of a layer; UsageError where none were asked for."""
        if self.sampled is None or layer not in self.sampled.sampled:
            raise UsageError(f"the survey sampled no positions of layer '{layer}': ask for them with places")
        return self.sampled.places(layer)

    def name_of(self, image: TopImage) -> str:
        """Return the name of an example's image: its path below the folder that was given, else the file's name alone."""
        for folder in self.folders:
            if image.path.startswith(folder):
                return os.path.relpath(image.path, folder)
        return os.path.basename(image.path)

    @cached_property
    def _first(self) -> Mapping[str, int]:
        """The number of each layer's unit 0 among all."""
        counts = [self.histograms.units[layer] for layer in self.layers]
        return dict(zip(self.layers, np.cumsum([0, *counts]).tolist(), strict=False))


def run_survey(
    network: Network,
    images: Any,
    layers: Sequence[str],
    out: str | Path | None = None,
    *,
    k: int = 9,
    quantiles: Sequence[float] = QUANTILES,
    sample: int = SAMPLE,
    places: int = 0,
    place_layers: Sequence[str] | None = None,
    scores: str | None = None,
    size: Size = None,
    batch: int = 8,
    seed: int = 0,
    left_out: str | Path | None = None,
    progress: bool | Callable[[Progress], object] | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = SECONDS,
) -> Survey:
    """Pass a set of images of any size through a net once, and remember of every unit of several layers what a person asks first.

    Of each unit: the k places that drive it most, examples by quantile, exact counts of all of its values; of layers, on request, one
    position of each of a sample of images for an activation atlas. Memory does not grow with the set. What cannot be read is skipped with
    its reason.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    images : str, path, array, or a sequence of these
        As for `dreamopt.top`.
    layers : sequence of str
        Their names.
    out : path, optional
        A folder for the state of the pass, ``state.json``. A pass that is there and was left goes on, also after it was killed; one of
        other settings, or of images that have changed since, is replaced.
    k : int
        Places of each unit, 1 to 10000.
    quantiles : sequence of float
        Of the examples, above 0 to 1: of all images' highest values of the unit, so many are not above the example's.
    sample : int
        Images of which the quantiles are taken, drawn evenly: exact for sets with no more; see
        `dreamopt.dataset.sampled_maxima.SampledMaxima` for the error.
    places : int
        Images of which one position is kept, at least 0, drawn evenly.
    place_layers : sequence of str, optional
        The layers of which; all by default.
    scores : str, optional
        The layer of the class scores, for the effects of positions on classes.
    size : int or (int, int), optional
        Images are scaled to cover so many pixels and cut to their middle; by default the size in the net's file.
    batch : int
        How many images pass through the net at once.
    seed : int
        Of what is drawn.
    left_out : path, optional
        A folder whose images are none of the set, though it lies among them; by default ``out``.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called after each batch with a `dreamopt.dataset.stream.Progress`.
    stop : callable, optional
        Asked after each batch; once it returns True, the pass ends with what it has.
    every : float
        Seconds from one time that the state is written to the next.

    Raises
    ------
    TargetError
        For a layer that the net does not have.
    ImageError
        If no image can be read.
    UsageError
        For settings out of range, sets without an image, and a net whose input is none.

    Examples
    --------
    >>> import dreamopt
    >>> from dreamopt.image.spectrum import image_files
    >>> found = run_survey(dreamopt.load_net(), image_files(None), ["mixed3"], k=2)
    >>> found.state_of("mixed3", 5), len(found.shown("mixed3", 5))
    ('active', 6)
    """
    if not network.has_image_input:
        raise UsageError(f"the net's input '{network.input_name}' is no image, so that images cannot pass through it")
    names = tuple(dict.fromkeys(network.resolve(layer) for layer in layers))
    if not names:
        raise UsageError("a survey needs at least one layer")
    given = several(quantiles)
    if given is None:
        raise UsageError(f"quantiles must be numbers above 0 up to 1, not {shown(quantiles)}")
    levels = tuple(check_number("quantiles", one, Range(0, 1, above=True)) for one in given)
    fit, listing, seed = Fit(size), Listing(images), check_whole("seed", seed, _COUNT)
    histograms = Histograms(network, names)
    channels = [Channel(layer, unit) for layer in names for unit in range(histograms.units[layer])]
    top = TopK(network, channels, check_whole("k", k, _MOST))
    maxima = SampledMaxima(network, names, check_whole("sample", sample, Range(1, 2**20)), seed)
    positions = check_whole("places", places, _COUNT)
    own = names if place_layers is None else [network.resolve(layer) for layer in place_layers]
    sampled = SampledPlaces(network, own, positions, seed, scores) if positions else None
    reducers: list[Reducer] = [histograms, top, maxima, *([] if sampled is None else [sampled])]
    request = request_of(network, listing, fit) | {
        "layers": list(names), "k": k, "sample": maxima.sample.size, "seed": seed,
        "places": None if sampled is None else [sampled.sample.size, *sampled.sampled, sampled.scores],
    }  # fmt: skip
    options: dict[str, Any] = {"stop": stop, "every": every}
    batch = check_whole("batch", batch, _MOST)
    if out is None:
        with ranking(progress, listing) as report:
            now = run_pass(network, listing, reducers, fit, batch, progress=report, **options)
    else:
        path = check_path("out", out, ImageError)
        listing.leave_out(path if left_out is None else left_out)
        with SurveyFolder(path, request, resume=True) as folder, ranking(progress, listing) as report:
            now = run_pass(network, listing, reducers, fit, batch, folder, progress=report, **options)
    folders = tuple(os.path.join(source, "") for source in listing.sources if isinstance(source, str) and os.path.isdir(source))
    return Survey(network, names, now, fit, histograms, top, maxima, sampled, levels, folders)


class SurveyFolder(PassFolder):
    """Where the state of a survey goes; one of other settings is replaced."""

    contents = "the state of a survey"

    def refuse(self, request: Mapping[str, Any]) -> None:
        """Warn that a pass of other settings is replaced."""
        differs = described_differences(request, self.request)
        warnings.warn(f"the survey in {self.path} had other {differs}: it begins anew", DreamoptWarning, stacklevel=3)


def _readers(network: Network, value: tuple[int, int]) -> list[int]:
    """Return the layers that read a value, behind the Splits that only copy it."""
    found = list[int]()
    for reader in network.graph.readers.get(value, []):
        tops = range(len(network.layers[reader].tops))
        copied = network.layers[reader].type == "Split"
        found += [one for j in tops for one in _readers(network, (reader, j))] if copied else [reader]
    return found
