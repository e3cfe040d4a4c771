"""`dreamopt.compare_attributions`: which attribution method to believe on a net."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
import torch

from dreamopt.attribution.attribute import Explained, Target
from dreamopt.attribution.compare.comparison import Comparison, Sanity
from dreamopt.attribution.compare.contestants import Contestant, HeatMap, contestants_of
from dreamopt.attribution.compare.masks import Mask, mask_at
from dreamopt.attribution.compare.randomization import (
    Similarity,
    cuts,
    layers_from_the_top,
    layers_of_score,
    mean_similarity,
    redrawn,
    similarity,
)
from dreamopt.attribution.explained import explains
from dreamopt.attribution.method import AttributionMethod
from dreamopt.attribution.metric import AttributionMetric, parse_metric
from dreamopt.attribution.metric import metrics as all_metrics
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.subject import Subject
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.network import Network, Size
from dreamopt.parts.arguments import check_seed
from dreamopt.progress.passes import comparing

FIRST = "srg"
"""The metric that ranks, unless others are named: it depends least on the baseline."""
SANITY_IMAGES, SANITY_DRAWS = 2, 2
"""On how many images, and for how many draws of the weights, cascading randomization is done."""
MANY_PASSES = 256
"""A method that needs more for one map is tried with one image and one draw."""


@dataclass(frozen=True)
class Progress:
    """How far a comparison is.

    Parameters
    ----------
    what : str
        What is computed.
    done, total : int
        Images that passed through the net, and about how many will have.
    """

    what: str
    done: int
    total: int


class _StoppedError(Exception):
    """It was asked to stop."""


def compare_attributions(
    network: Network,
    images: Any,
    objective: Target = None,
    methods: Sequence[AttributionMethod | str] | None = None,
    *,
    metrics: Sequence[AttributionMetric | str] | None = None,
    masks: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    sanity: bool = True,
    size: Size = None,
    seed: int = 0,
    batch: int = 16,
    progress: bool | Callable[[Progress], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Comparison:
    """Rank attribution methods on a net, beside two controls that know nothing of it: a map of noise and an edge detector.

    Each image, with each method: the map, the seconds it took, and each metric. Then the weights are drawn anew, from the top layer down,
    and the maps looked at again.

    Parameters
    ----------
    network : Network
        The net.
    images : path, array or tensor, or a list of these
        As for `dreamopt.attribute`; several, since one image says nothing of others.
    objective : Objective, str, or a sequence of these, optional
        What is explained; a sequence gives each image its own. By default each image's highest class.
    methods : sequence of AttributionMethod or str, optional
        All that there are by default.
    metrics : sequence of AttributionMetric or str, optional
        The first one ranks. By default `srg` and all others.
    masks : sequence of path, array or None, optional
        Of each image, where in it lies what the score is about, for `pointing_game`: (H, W), of the image's own size.
    names : sequence of str, optional
        Of the images, for the report.
    sanity : bool
        Whether weights are drawn anew, in a copy of the net (the engine's backend alone can).
    size : int or (int, int), optional
        The input's size in pixels; the one in the net's file by default.
    seed : int
        Of all that is random.
    batch : int
        The most images that pass through the net at once.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called after each pass with a `Progress`.
    stop : callable, optional
        Asked after each pass; once it returns True, the comparison of the images that are done is returned.

    Returns
    -------
    Comparison

    Raises
    ------
    TargetError, ImageError, UsageError
        As by `dreamopt.attribute`; for an unknown metric, and masks that do not fit.

    References
    ----------
    .. [1] J. Adebayo et al., "Sanity Checks for Saliency Maps", 2018. L. Sixt et al., "When Explanations Lie: Why Many Modified BP
       Attributions Fail", 2020.

    Examples
    --------
    >>> from dreamopt import compare_attributions, load_net
    >>> from dreamopt.attribution.compare.pointing import pointing_set
    >>> truth = pointing_set(2)
    >>> found = compare_attributions(load_net(), truth.images, truth.objectives, ["saliency"], masks=truth.masks, metrics=["srg"])
    >>> sorted(found.ranking)
    ['random', 'saliency', 'sobel']
    """
    given = list(images) if isinstance(images, list | tuple) else [images]
    parts = _metrics(metrics, masks is not None)
    contestants = contestants_of(methods)
    explained = Explained.of(network, given, objective, size, backward=False)  # each image passes by itself
    if explained.images.dim() != 4 or not network.has_image_input:
        raise UsageError("attribution methods are compared on images; the net's input is none")
    height, width = explained.images.shape[2:]
    masks = [None] * len(given) if masks is None else list(masks)
    if len(masks) != len(given) or (names is not None and len(names) != len(given)):
        raise UsageError(f"{len(given)} images need as many masks and names, None for an image without a mask")
    at = [None if mask is None else mask_at(mask, image, (height, width)) for mask, image in zip(masks, given, strict=True)]
    if names is None:
        names = [os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {i + 1}" for i, image in enumerate(given)]
    with comparing(progress) as report:
        job = _Job(explained, contestants, parts, at, check_seed("seed", seed), batch, report, stop)
        job.measure(sanity)
    return job.comparison(names, sanity)


def _metrics(given: Sequence[AttributionMetric | str] | None, masked: bool) -> list[AttributionMetric]:
    if given is not None:
        if not given:
            raise UsageError("name at least one metric to compare by")
        return list(dict.fromkeys(parse_metric(one) for one in given))
    others = [name for name in all_metrics.names() if name != FIRST and (masked or name != "pointing_game")]
    return [parse_metric(name) for name in (FIRST, *others)]


@dataclass
class _Job:
    """A comparison under way."""

    explained: Explained
    contestants: list[Contestant]
    metrics: list[AttributionMetric]
    masks: list[Mask | None]
    seed: int
    batch: int
    progress: Callable[[Progress], object] | None
    stop: Callable[[], bool] | None
    failed: dict[str, str] = field(default_factory=dict)
    maps: dict[str, list[HeatMap]] = field(default_factory=dict)
    similarities: dict[str, dict[str, Similarity | None]] = field(default_factory=dict)
    stages: dict[str, int] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    reason: str = ""
    interrupted: bool = False
    what: str = ""
    done: int = 0
    total: int = 0
    complete: int = 0

    def __post_init__(self) -> None:
        count = len(self.explained.images)
        self.values = np.full((len(self.contestants), len(self.metrics), count), np.nan)
        self.seconds = np.full((len(self.contestants), count), np.nan)

    def measure(self, sanity: bool) -> None:
        """Do all of it, or what there is time for."""
        per_map = sum(metric.evaluations() for metric in self.metrics)
        self.total = len(self.explained.images) * sum(one.passes() + per_map for one in self.contestants)
        try:
            if sanity:
                self._plan_sanity()
            # The first passes of a net take longer than the others: no method's seconds should hold them.
            self._score(self.explained.network, 0).gradients(self.explained.images[:1])
            for i in range(len(self.explained.images)):
                self._measure_image(i)
                self.complete = i + 1
            if self.stages:
                self._randomize()
        except _StoppedError:
            self.interrupted = True

    def _score(self, network: Network, i: int) -> ScoreFunction:
        size = tuple(self.explained.images.shape[2:])
        return ScoreFunction(network, self.explained.objective.item(i), size, batch=self.batch, seed=self.seed, progress=self._passed)

    def _passed(self, images: int) -> None:
        self.done += images
        self.total = max(self.total, self.done)
        if self.progress is not None:
            self.progress(Progress(self.what, self.done, self.total))
        if self.stop is not None and self.stop():
            raise _StoppedError

    def _measure_image(self, i: int) -> None:
        image = self.explained.images[i : i + 1]
        score = self._score(self.explained.network, i)
        subject = Subject(score, image, self.masks[i])
        for c, one in enumerate(self.contestants):
            if one.name in self.failed:
                continue
            self.what = f"image {i + 1} of {len(self.masks)}, {one.name}"
            start = time.perf_counter()
            heat_map = self._map(one, score, image, i)
            self.seconds[c, i] = time.perf_counter() - start
            if heat_map is None:
                continue
            if i < SANITY_IMAGES:
                self.maps.setdefault(one.name, []).append(heat_map)
            for k, metric in enumerate(self.metrics):
                value = metric(subject, heat_map)
                self.values[c, k, i] = np.nan if value is None else value

    def _map(self, one: Contestant, score: ScoreFunction, image: torch.Tensor, i: int) -> HeatMap | None:
        """Return a map; None, with the reason noted, where the method does not go with the net or objective."""
        try:
            heat_map = one.heat_map(score, image, i)
        except DreamoptError as problem:
            self.failed[one.name] = str(problem)
            return None
        if not np.isfinite(heat_map).all():
            self.failed[one.name] = f"its map of {score.objective} is not finite"
            return None
        return heat_map

    def _plan_sanity(self) -> None:
        network = self.explained.network
        self.layers = layers_from_the_top(network, self.explained.objective.layers)
        if not self.layers:
            self.reason = "no layer below the score has weights"
            return
        try:
            redrawn(network, self.layers[:1], self.seed, 0)
            samples = self.explained.images[:SANITY_IMAGES]
            self.layers = layers_of_score(network, self.explained.objective, samples, self.layers)
        except DreamoptError as problem:
            self.reason = str(problem)
            return
        self.stages = dict(cuts(len(self.layers)))
        for one in self.contestants:
            images, draws = self._sanity_count(one)
            self.total += one.passes() * images * draws * len(self.stages)

    def _sanity_count(self, one: Contestant) -> tuple[int, int]:
        """Return on how many images, and with how many draws, a contestant is looked at."""
        if one.is_control:
            return 0, 0
        return (1, 1) if one.passes() > MANY_PASSES else (min(SANITY_IMAGES, len(self.masks)), SANITY_DRAWS)

    def _randomize(self) -> None:
        found: dict[str, dict[str, list[Similarity | None]]] = {}
        for stage, count in self.stages.items():
            for draw in range(SANITY_DRAWS):
                network = redrawn(self.explained.network, self.layers[:count], self.seed, draw)
                for one in self.contestants:
                    images, draws = self._sanity_count(one)
                    if one.name in self.failed or draw >= draws:
                        continue
                    self.what = f"{stage} re-drawn, {one.name}"
                    for i in range(images):
                        try:
                            heat_map = one.heat_map(self._score(network, i), self.explained.images[i : i + 1], i)
                        except DreamoptError:  # as where the score of random weights is not finite
                            alike = None
                        else:
                            alike = similarity(self.maps[one.name][i], heat_map) if np.isfinite(heat_map).all() else None
                        found.setdefault(one.name, {}).setdefault(stage, []).append(alike)
            self.similarities = {
                name: {key: mean_similarity(all_of) for key, all_of in by_stage.items()} for name, by_stage in found.items()
            }

    def comparison(self, names: Sequence[str], sanity: bool) -> Comparison:
        """Return what was found: of complete images, or of the first one as far as it is."""
        count = max(self.complete, 1)
        network, objective = self.explained.network, self.explained.objective
        places = [c for c, one in enumerate(self.contestants) if one.name not in self.failed]
        items = [objective.item(i) for i in range(count)]
        reason = self.reason if sanity else "it was not asked for"
        if not reason and self.interrupted and not self.similarities:
            reason = "it was interrupted before"
        return Comparison(
            contestants=tuple(self.contestants[c] for c in places),
            metrics=tuple(self.metrics),
            images=tuple(names[:count]),
            objectives=tuple(map(str, items)),
            explains=tuple(explains(network, one) for one in items),
            values=self.values[places, :, :count],
            seconds=self.seconds[places, :count],
            sanity=Sanity(self.stages, tuple(self.layers), self.similarities, reason),
            failed=self.failed,
            settings={
                "network": network.describe_input(),
                "size": list(self.explained.images.shape[2:]),
                "seed": self.seed,
                "batch": self.batch,
                "metrics": {str(one): {entry.name: getattr(one, entry.name) for entry in fields(cast(Any, one))} for one in self.metrics},
                "sanity": {"images": min(SANITY_IMAGES, count), "draws": SANITY_DRAWS},
            },
            interrupted=self.interrupted,
        )
