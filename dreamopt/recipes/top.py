"""Top: the images and crops of a set that drive units of a net most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dreamopt.dataset.frames import Fit
from dreamopt.dataset.listing import Listing
from dreamopt.dataset.stream import Progress
from dreamopt.dataset.top_images import TopImages, top_images
from dreamopt.dataset.top_k import BY, TopK
from dreamopt.errors import ImageError, ShapeError, UsageError
from dreamopt.image.files import RGBImage
from dreamopt.image.writing import eight_bits
from dreamopt.network import Network, Size
from dreamopt.objective import Objective
from dreamopt.parts.arguments import check_flag, check_path
from dreamopt.parts.checks import Range, check_whole, shown
from dreamopt.progress.passes import ranking
from dreamopt.recipes.passing import SECONDS, request_of, run_pass
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import Sample, bound_samples, read_targets
from dreamopt.recipes.top_folder import TopFolder

STEPS = 128
"""Steps of the image that is synthesized for each target."""
_MOST = Range(1, 10_000)


@dataclass(frozen=True)
class TopPlan:
    """A resolved job: which images, which targets.

    Parameters
    ----------
    network : Network
        The net.
    listing : Listing
        The set.
    samples : sequence of Sample
        One for each target.
    reducer : TopK
        What ranks.
    fit : Fit
        How images become the net's input.
    batch : int
        How many of them pass through the net at once.
    """

    network: Network
    listing: Listing
    samples: Sequence[Sample]
    reducer: TopK
    fit: Fit
    batch: int

    def request(self) -> dict[str, Any]:
        """Return what decides the rankings, but for the images themselves, fit for JSON."""
        return request_of(self.network, self.listing, self.fit) | {
            "targets": [sample.text for sample in self.samples],
            "k": self.reducer.k,
            "by": self.reducer.by,
            "per_image": self.reducer.per_image,
            "distinct": self.reducer.distinct,
        }


def plan_top(
    network: Network,
    images: Any,
    targets: str | Objective | Sequence[str | Objective],
    k: int = 9,
    *,
    by: str = "max",
    size: Size = None,
    longest: int | None = None,
    batch: int = 16,
    per_image: int = 1,
    distinct: bool = False,
) -> TopPlan:
    """Resolve a job: read the targets, look up the images; parameters and errors as of `top`."""
    if not network.has_image_input:
        raise UsageError(f"the net's input '{network.input_name}' is no image, so that no images can be ranked")
    if not isinstance(by, str) or by not in BY:
        raise UsageError(f"by must be one of {', '.join(BY)}, not {shown(by)}")
    if size is not None and longest is not None:
        raise UsageError("size and longest exclude each other: images are cut to a size, or taken as they are")
    objectives = read_targets(network, targets, size)
    for objective in objectives:
        if objective.coupled:
            raise UsageError(f"objective {objective} compares images with each other, so that no single image has a value")
    # One that is given twice has one ranking.
    samples = [sample for sample, _ in bound_samples(network, objectives, size) if sample.item == 0]
    reducer = TopK(
        network,
        [sample.objective for sample in samples],
        check_whole("k", k, _MOST),
        by=by,
        per_image=check_whole("per_image", per_image, _MOST),
        distinct=check_flag("distinct", distinct),
    )
    fit = Fit(size, longest)
    if longest is not None:
        _require_any_size(network, reducer.layers)
    return TopPlan(network, Listing(images), samples, reducer, fit, check_whole("batch", batch, _MOST))


def top(
    network: Network,
    images: Any,
    targets: str | Objective | Sequence[str | Objective],
    k: int = 9,
    *,
    by: str = "max",
    size: Size = None,
    longest: int | None = None,
    batch: int = 16,
    per_image: int = 1,
    distinct: bool = False,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | Callable[[Progress], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[TopImages]:
    """Return the images and crops of a set that drive each of several targets most.

    A channel's value is that of its strongest place in the image, and its crop is what that place sees: its exact receptive field.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    images : str, path, array, or a sequence of these
        Files, folders with all below them, patterns as ``"photos/**/*.jpg"``, or arrays (H, W, 3), RGB, 0-255. A set of any size: it is
        walked over once, and what cannot be read is skipped.
    targets : str, Objective, or a sequence of them
        As for `dreamopt.render`: ``"conv4:7"``, ``"conv4:0-15"``, ``"fc8:tabby cat"``, ``"-conv4:7"`` for what it likes least.
    k : int
        How many for each target, 1 to 10000.
    by : {"max", "mean", "value"}
        An image's value: that of the strongest place, for targets that have one at each place (others have their own value); the mean over
        places; or the target's own, which of a channel is the mean.
    size : int or (int, int), optional
        Images are scaled to cover so many pixels and cut to their middle; by default the size in the net's file.
    longest : int, optional
        Instead, images are taken as they are, and made smaller only where the longer side has more pixels: for layers that take any size.
    batch : int
        How many images pass through the net at once.
    per_image : int
        The most crops of one image in a ranking.
    distinct : bool
        Whether of images that the net sees as the same one only the first counts.
    out : path, optional
        A folder for sheets, crops and rankings, as the command ``dreamopt top`` writes them, and for the state of the pass.
    resume : bool
        Whether a pass whose state is in ``out`` goes on there.
    progress : bool or callable, optional
        Whether a bar is shown, as for `dreamopt.render`; or what is called after each batch with a `dreamopt.dataset.stream.Progress`.
    stop : callable, optional
        Asked after each batch; once it returns True, the pass ends with what it has.

    Returns
    -------
    list of TopImages
        One for each target.

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    ImageError
        If no image can be read.
    UsageError
        For settings out of range, objectives that compare images, sets without an image, and a net whose input is none.

    Examples
    --------
    >>> import dreamopt
    >>> from dreamopt.image.spectrum import image_files
    >>> [one] = dreamopt.top(dreamopt.load_net(), image_files(None), "mixed3:5", k=2)
    >>> len(one.images), one.images[0].value >= one.images[1].value
    (2, True)
    """
    plan = plan_top(network, images, targets, k, by=by, size=size, longest=longest, batch=batch, per_image=per_image, distinct=distinct)
    if out is None:
        if resume:
            raise UsageError("resume needs the folder that holds the state: give out as well")
        with ranking(progress, plan.listing) as report:
            return run_top(plan, progress=report, stop=stop)
    path = check_path("out", out, ImageError)
    plan.listing.leave_out(path)
    with TopFolder(path, plan.request(), resume=resume) as folder:
        with ranking(progress, plan.listing) as report:
            found = run_top(plan, folder, progress=report, stop=stop)
        folder.write_sheets(found, [sample.slug for sample in plan.samples])
    return found


def run_top(
    plan: TopPlan,
    folder: TopFolder | None = None,
    *,
    progress: Callable[[Progress], object] | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = SECONDS,
) -> list[TopImages]:
    """Pass the set through the net and return the rankings; the state is written into the folder every so many seconds, and at the end."""
    now = run_pass(plan.network, plan.listing, [plan.reducer], plan.fit, plan.batch, folder, progress=progress, stop=stop, every=every)
    return top_images(plan.reducer, now, plan.fit, [sample.label for sample in plan.samples])


def synthesized(
    network: Network, samples: Sequence[Sample], settings: Settings | None = None, callbacks: Sequence[Any] = (), **options: Any
) -> dict[str, RGBImage]:
    """Return the image that is synthesized for each target, by its text; for those that have one."""
    from dreamopt.recipes.plan import plan_render
    from dreamopt.recipes.render import run_plan

    plan = plan_render(network, [sample.objective for sample in samples], Settings(steps=STEPS) if settings is None else settings)
    rendered = run_plan(replace(plan, provenance=options.pop("provenance", {})), network, callbacks=callbacks, **options)
    return {one.sample.text: eight_bits(one.image)[..., :3] for one in rendered if one.dead is None}


def _require_any_size(network: Network, layers: Sequence[str]) -> None:
    height, width = network.item_shape()[1:]
    for layer in layers:
        try:
            network.shape_of(layer, (height + 64, width + 32))
        except ShapeError as problem:
            raise UsageError(f"images at their own sizes do not fit: {problem}; give a size instead of longest") from problem
