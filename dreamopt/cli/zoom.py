"""``dreamopt zoom``: an endless zoom into an image, dreamed frame by frame."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.film import exit_where_interrupted, film_facts, frames_left
from dreamopt.cli.job import job_options
from dreamopt.cli.net import NET_KEYS, net_option, net_options, open_network
from dreamopt.cli.render import chosen_settings, settings_options
from dreamopt.cli.sections import SectionedCommand, of_film, of_motion, of_target
from dreamopt.cli.spelling import check_targets
from dreamopt.errors import printable

if TYPE_CHECKING:
    from dreamopt.recipes.zoom import ZoomPlan


def _shift(_: click.Context, __: click.Parameter, text: str | None) -> list[str] | None:
    from dreamopt.parts.calls import split

    if text is None:
        return None
    parts = split(text, ",")
    if len(parts) != 2 or not all(parts):
        raise click.BadParameter(f"{printable(repr(text), 80)} is not X,Y: pixels a second to the right and down.")
    return parts


MOTION_OPTIONS = (
    of_motion("--seconds", type=float, help="How long the film is.  [default: 10]"),
    of_motion("--fps", type=float, help="Frames a second.  [default: 25]"),
    of_motion(
        "--zoom",
        metavar="FACTOR",
        help="How many times larger in a second; below 1 the camera moves away; or 'Linear(1.2, 3)' over the film.  [default: 2]",
    ),
    of_motion("--rotate", metavar="DEGREES", help="Counter-clockwise, in a second; or a schedule.  [default: 0]"),
    of_motion("--shift", callback=_shift, metavar="X,Y", help="Pixels to the right and down in a second.  [default: 0,0]"),
    of_motion("--cycle", metavar="TARGET,TARGET,...", help="Instead of -t: dream of one after the other, each coming in over the last."),
    of_motion("--each", type=float, metavar="SECONDS", help="How long each of a cycle.  [default: the film is one cycle]"),
    of_motion("--fade", type=float, metavar="PART", help="Which part of that the next one comes in over.  [default: 0.5]"),
    of_motion("--keep-colours", type=float, metavar="PART", help="Pull towards the image's colours in each frame.  [default: 0.1]"),
    of_motion("--loop", is_flag=True, default=None, help="The film closes: its last frame leads into its first."),
)
FILM_KEYS = ("seconds", "fps", "zoom", "rotate", "shift", "each", "fade", "keep_colours", "loop")
OUT_OPTIONS = (
    of_film("--codec", metavar="NAME", help="FFmpeg's encoder.  [default: libx264, for .webm libvpx-vp9]"),
    of_film("--crf", type=click.IntRange(0, 63), help="The encoder's constant rate factor, less is better.  [default: 18]"),
    of_film("--pixel-format", metavar="NAME", help="FFmpeg's name.  [default: yuv420p]"),
    of_film("--keep-frames", is_flag=True, help="Keep the frames, in OUT.frames, once the film is written."),
    of_film("--partial", is_flag=True, help="On Ctrl-C, write the film as far as it is."),
)


def _zoom_options(command: Any) -> Any:
    for option in reversed((*MOTION_OPTIONS, *OUT_OPTIONS)):
        command = option(command)
    return command


@click.command("zoom", cls=SectionedCommand)
@click.argument("image", metavar="IMAGE")
@net_option
@of_target(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Repeatable; several are summed. 'inception_4c/output' (a layer), 'conv4:7' (a filter).  [default: a layer chosen from the net]",
)
@of_film(
    "-o",
    "--out",
    default="zoom.mp4",
    show_default=True,
    metavar="FILM|FOLDER",
    help=".mp4, .mov, .mkv or .webm (with the extra video); .gif, .webp, .apng or a folder of frames without it.",
)
@_zoom_options
@settings_options
@job_options
@net_options
def command(
    image: str,
    net: str | None,
    targets: tuple[str, ...],
    out: str,
    cycle: str | None,
    codec: str | None,
    crf: int | None,
    pixel_format: str | None,
    keep_frames: bool,
    partial: bool,
    quiet: bool,
    as_json: bool,
    every: int | None,
    resume: bool,
    force: bool,
    memory: int | None,
    preview: str | None,
    preset: str | None,
    **options: Any,
) -> None:
    """Zoom into an image without an end: each frame is the one before, moved a little, and dreamed again.

    A frame is dreamed with the settings of the preset deepdream2015, but 2 octaves of 2 steps; options change them. Each finished frame
    is a PNG in the folder OUT.frames until the film is written: Ctrl-C or a crash lose the frame under way, and `--resume` goes on with
    the same bits.
    """
    check_targets(targets, net, options)
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.film.encoding import Encoding
    from dreamopt.film.sources import is_folder_output
    from dreamopt.network.choice import described_layer
    from dreamopt.progress.rendering import rendering
    from dreamopt.recipes.dream import PRESET
    from dreamopt.recipes.film_store import FrameStore
    from dreamopt.recipes.output import check_new
    from dreamopt.recipes.preview import Preview
    from dreamopt.recipes.zoom import CHANGES, plan_zoom, read_cycle
    from dreamopt.recipes.zoom_film import check_zoom_output, run_zoom
    from dreamopt.recipes.zoom_settings import ZoomSettings

    encoding = Encoding(codec, crf, pixel_format)
    check_zoom_output(out, encoding)
    if not (force or resume or is_folder_output(out)):
        check_new([Path(out)])
    net_settings = {key: options.pop(key) for key in (*NET_KEYS, "allow_python_layers")}
    given = {key: options.pop(key) for key in FILM_KEYS}
    film = ZoomSettings(**{key: value for key, value in given.items() if value is not None})
    if preset is None:
        options |= {key: value for key, value in CHANGES.items() if options.get(key) is None}
    settings = chosen_settings(PRESET if preset is None else preset, **options)
    network, repeat, source = open_network(net, settings.size, **net_settings)
    plan = plan_zoom(network, image, targets or None, settings, film, cycle=() if cycle is None else read_cycle(cycle))
    if not quiet:
        dreamed = ", ".join(map(str, plan.cycle.objectives))
        if not (targets or cycle):
            dreamed = f"{described_layer(network, plan.cycle.objectives[0].layers[0])}; -t names another layer"
        size = f"{plan.size[1]} x {plan.size[0]}"
        echo(f"{plan.count} frames of {size} pixels, {plan.count / film.fps:.1f} s, dreaming of {dreamed}", err=True)
    again = _command(plan, net, out, settings, repeat, {"codec": codec, "crf": crf, "pixel_format": pixel_format})
    plan = replace(plan, provenance={"source": source, "load": {"net": net} | repeat, "command": again})
    shown = [] if preview is None else [Preview(preview, network, settings.channels)]
    with FrameStore(out, resume=resume, replace=force) as store:
        store.open(plan)
        left = frames_left(store, quiet=quiet)
        with interruptible() as stop, rendering(not quiet, max(left, 1), plan.dream.total_steps) as report:
            zoomed = run_zoom(
                plan,
                network,
                store,
                encoding=encoding,
                keep_frames=keep_frames,
                partial=partial,
                callbacks=[*report.callbacks, *shown],
                stop=stop,
                memory=memory,
            )
    if as_json:
        seam = None if zoomed.seam is None else {name: getattr(zoomed.seam, name) for name in ("seam", "median", "largest")}
        echo_json(film_facts(zoomed) | {"seam": seam} | dict(zoomed.metadata))
    else:
        echo_path(zoomed.path)
    if zoomed.seam is not None and not quiet:
        echo(f"the loop closes: {zoomed.seam}", err=True)
    exit_where_interrupted(zoomed, store)


def _command(plan: "ZoomPlan", net: str | None, out: str, settings: Any, repeat: Mapping[str, Any], encoding: Mapping[str, Any]) -> str:
    """Return the command that makes the film again."""
    from dreamopt.recipes.command import as_argument, option_words, settings_words

    words = ["dreamopt", "zoom", as_argument(plan.path), "--net", net or "tiny", *option_words(repeat)]
    objectives = [str(one) for one in plan.cycle.objectives]
    words += ["--target", objectives[0]] if len(objectives) == 1 else ["--cycle", ", ".join(objectives)]
    described = plan.film.describe()
    x, y = described.pop("shift")
    words += [*option_words(described), "--shift", f"{x},{y}", *settings_words(settings.describe())]
    return shlex.join([*words, *option_words(encoding), "-o", out])
