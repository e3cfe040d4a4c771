"""``dreamopt top``: the images and crops of a set that drive units most."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.job import force_option
from dreamopt.cli.net import net_option, net_options, open_network
from dreamopt.cli.render import size_option
from dreamopt.cli.sections import SectionedCommand, of_image, of_run, of_target
from dreamopt.cli.spelling import check_targets, spelt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dreamopt.dataset.top_images import TopImages
    from dreamopt.image.files import RGBImage
    from dreamopt.recipes.targets import Sample
    from dreamopt.recipes.top import TopPlan
    from dreamopt.recipes.top_folder import TopFolder

NAMED = 5
"""Images that could not be read and are named at the end; ranking.json has more."""
SYNTHESIZED = "synthesized.png"


@click.command("top", cls=SectionedCommand)
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True)
@net_option
@of_target(
    "-t",
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="TARGET",
    help="Repeatable. 'conv4:7' (filter), 'conv4:0-15', 'conv4:*', 'conv4:7@3,5' (neuron), 'fc8:tabby cat' (class), "
    "'-conv4:7' (what it likes least).",
)
@of_target("-k", default=9, show_default=True, type=click.IntRange(1, 10_000), help="Images of each target.")
@of_image("-o", "--out", default="top", show_default=True, metavar="FOLDER", help="Where sheets, crops and rankings go.")
@of_target(
    "--by",
    default="max",
    show_default=True,
    type=click.Choice(["max", "mean", "value"]),
    help="An image's value: that of its strongest place, which gives the crop; the mean over places; or the target's own.",
)
@size_option("Images are scaled to cover so many pixels and cut to the middle.  [default: the size in the net's file]")
@of_image(
    "--longest", type=click.IntRange(min=1), metavar="PIXELS", help="Instead, take images as they are, or smaller where a side is longer."
)
@of_target("--per-image", default=1, show_default=True, type=click.IntRange(1, 10_000), help="The most crops of one image.")
@of_target("--distinct", is_flag=True, help="Of images that the net sees as the same one, take the first.")
@of_run("--batch", default=16, show_default=True, type=click.IntRange(1, 10_000), help="Images that pass through the net at once.")
@of_image("--render/--no-render", default=True, show_default=True, help="Synthesize each target's image and show it beside.")
@of_image("--steps", default=128, show_default=True, type=click.IntRange(min=1), help="Of that.")
@of_image("--beside", metavar="FILE|FOLDER", help="Show this image instead; of several targets, those of this folder by their names.")
@of_image(
    "--method",
    callback=spelt("attribution method"),
    metavar="METHOD",
    help="Show what in each crop the target answers to: guided_backprop, or another method of `dreamopt attribute`.",
)
@of_image("--whole", is_flag=True, help="Write the whole images too, with the crops' rectangles drawn.")
@of_run("--resume", is_flag=True, help="Resume an interrupted job, with the same options.")
@force_option
@of_run("-q", "--quiet", is_flag=True, help="No progress and no notes.")
@of_run("--json", "as_json", is_flag=True, help="Print the rankings as JSON instead of the sheets' paths.")
@net_options
def command(
    images: tuple[str, ...],
    net: str | None,
    targets: tuple[str, ...],
    k: int,
    out: str,
    by: str,
    size: int | tuple[int, int] | None,
    longest: int | None,
    per_image: int,
    distinct: bool,
    batch: int,
    render: bool,
    steps: int,
    beside: str | None,
    method: str | None,
    whole: bool,
    resume: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show the images and crops of a set that drive each of several targets most.

    IMAGES are files, folders with all below them, and patterns, of any number; they are looked at once, and what cannot be read is
    skipped. The folder OUT holds for each target a sheet, its crops as PNG files, and ranking.json and ranking.csv. A crop is what the
    strongest place sees: its exact receptive field. The sheets' paths go to stdout.

    Ctrl-C writes the sheets of what was done and exits with 130; `--resume` goes on from there, and from where a crash left it.
    """
    check_targets(targets, net, options)
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.errors import UsageError
    from dreamopt.progress.passes import ranking
    from dreamopt.recipes.output import check_new
    from dreamopt.recipes.top import plan_top, run_top
    from dreamopt.recipes.top_folder import RANKING, TopFolder

    if not (force or resume):
        check_new([Path(out) / f"{RANKING}.json"])
    if beside is not None and not os.path.exists(beside):
        raise UsageError(f"the image '{beside}' to show beside is not there")
    if method is not None:
        from dreamopt.attribution.method import parse_method

        parse_method(method)  # what does not fit is said before the work
    network, _, _ = open_network(net, size, **options)
    plan = plan_top(
        network, list(images), targets, k, by=by, size=size, longest=longest, batch=batch, per_image=per_image, distinct=distinct
    )
    plan.listing.leave_out(out)
    started = time.monotonic()
    with TopFolder(out, plan.request(), resume=resume) as folder:
        shown = {} if beside is None else _given(plan.samples, _folders(plan, folder), Path(beside))
        with interruptible("and writing the sheets of what was done") as stop, ranking(not quiet, plan.listing) as report:
            found = run_top(plan, folder, progress=report, stop=stop)
        complete = all(one.complete for one in found)
        if beside is None:
            shown = _synthesized(plan, folder, steps if render and complete else 0, resume, quiet)
        maps = {} if method is None else _maps(found, method)
        sheets = folder.write_sheets(found, [sample.slug for sample in plan.samples], shown, marked=whole, maps=maps)
    if as_json:
        said = {"targets": [one.describe() for one in found], "sheets": [str(path) for path in sheets]}
        echo_json(said | {"seconds": round(time.monotonic() - started, 3), "evaluations": found[0].seen})
    else:
        for path in sheets:
            echo_path(path)
    _report(found, quiet)
    if not complete:
        echo("dreamopt: interrupted; the sheets show what was done. --resume goes on.", err=True)
        click.get_current_context().exit(130)


def _maps(found: Sequence[TopImages], method: str) -> dict[tuple[int, int], RGBImage]:
    """Return by the number of a target and a rank what in its crop it answers to, of the crop's size."""
    import numpy as np

    from dreamopt.attribution.attribute import attribute
    from dreamopt.errors import DreamoptError, DreamoptWarning

    maps = {}
    for number, target in enumerate(found):
        for rank, one in enumerate(target.images):
            (top, bottom), (left, right) = one.rectangle
            if top == bottom or left == right:
                continue
            try:
                image = one.image()
                map_ = attribute(one.network, image, one.objective, method, size=one.size, progress=False)
                # The colours are those of the crop's own values: around it there are none.
                inside = replace(map_, array=map_.array[top:bottom, left:right], image=image[top:bottom, left:right])
                shown = np.zeros_like(image)
                shown[top:bottom, left:right] = inside.shown("rgb" if map_.signed and map_.array.ndim == 3 else None)
                maps[number, rank] = one.cut(shown)
            except DreamoptError as problem:
                warnings.warn(f"no {method} of {target.target} in '{one.path}': {problem}", DreamoptWarning, stacklevel=2)
    return maps


def _folders(plan: TopPlan, folder: TopFolder) -> list[Path]:
    """Return the folder of each target."""
    return folder.folders_of([sample.slug for sample in plan.samples])


def _synthesized(plan: TopPlan, folder: TopFolder, steps: int, resume: bool, quiet: bool) -> dict[str, RGBImage]:
    """Return by target the image that is synthesized for it, and written into its folder."""
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.dataset.top_images import rounded
    from dreamopt.errors import DreamoptError, DreamoptWarning
    from dreamopt.image.files import read_image
    from dreamopt.progress.rendering import rendering
    from dreamopt.recipes.settings import Settings
    from dreamopt.recipes.top import synthesized

    files = {sample.text: path / SYNTHESIZED for sample, path in zip(plan.samples, _folders(plan, folder), strict=True)}
    shown = {text: rounded(read_image(path)) for text, path in files.items() if resume and path.is_file()}
    missing = [sample for sample in plan.samples if sample.text not in shown]
    if not steps or not missing:
        return shown
    settings = Settings(steps=steps)
    try:
        with interruptible("without the other images") as stop, rendering(not quiet, len(missing), steps) as report:
            made = synthesized(plan.network, missing, settings, callbacks=report.callbacks, stop=stop)
    except DreamoptError as problem:  # a unit that nothing drives has its ranking all the same
        warnings.warn(f"no image was synthesized: {problem}", DreamoptWarning, stacklevel=2)
        made = {}
    for text, image in made.items():
        folder.write_image(files[text], image, {"target": text, "steps": steps})
    return shown | made


def _given(samples: Sequence[Sample], folders: Sequence[Path], beside: Path) -> dict[str, RGBImage]:
    """Return by target the image that the user gives for it, from a file or, by its folder's name, from a folder."""
    from dreamopt.dataset.top_images import rounded
    from dreamopt.errors import UsageError
    from dreamopt.image.files import read_image
    from dreamopt.image.writing import SUFFIXES

    if not beside.is_dir():
        if len(samples) > 1:
            raise UsageError(
                f"--beside {beside} is one image, and there are {len(samples)} targets: give a folder of images with their names"
            )
        return {samples[0].text: rounded(read_image(beside))}
    paths = {
        sample.text: [beside / f"{folder.name}{suffix}" for suffix in SUFFIXES] for sample, folder in zip(samples, folders, strict=True)
    }
    found = {text: next((path for path in several if path.is_file()), None) for text, several in paths.items()}
    if not any(found.values()):
        raise UsageError(f"--beside {beside} holds no image of a target, as {next(iter(paths.values()))[0].name}")
    return {text: rounded(read_image(path)) for text, path in found.items() if path is not None}


def _report(found: Sequence[TopImages], quiet: bool) -> None:
    """Say what was skipped."""
    first = found[0]
    if first.skipped and not quiet:
        echo(f"dreamopt: {first.skipped} of {first.seen + first.skipped} images were skipped:", err=True)
        for path, reason in first.reasons[:NAMED]:
            echo(f"  {reason if path in reason else f'{path}: {reason}'}", err=True)
        if first.skipped > NAMED:
            echo(f"  and {first.skipped - NAMED} more (ranking.json)", err=True)
    if first.noted and not quiet:
        echo(f"dreamopt: {first.noted} images were read with something left out: further frames, bits, a damaged profile", err=True)
    for one in found:
        if one.unranked and not quiet:
            echo(f"dreamopt: {one.target} had no finite value for {one.unranked} images, which are not ranked", err=True)
