"""``dreamopt render``: images that filters, neurons and classes like."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from dreamopt.cli.echo import echo
from dreamopt.cli.job import job_options, print_job, run_job
from dreamopt.cli.net import net_option, net_options, open_network, whole_number
from dreamopt.errors import printable


def _size(_: click.Context, __: click.Parameter, text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    sides = [whole_number(part) for part in parts]
    if len(sides) > 2 or not all(sides):
        raise click.BadParameter(f"{printable(repr(text), 80)} is neither a number of pixels nor WIDTHxHEIGHT.")
    return sides[0] if len(sides) == 1 else (sides[1], sides[0])


def size_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--size`` with a text of help; its value is a number or (height, width)."""
    return click.option("--size", callback=_size, metavar="N|WxH", help=text)


def _strength(_: click.Context, __: click.Parameter, text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _batch_size(_: click.Context, __: click.Parameter, text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    number = whole_number(text)
    if number is None or number < 1:
        raise click.BadParameter(f"{printable(repr(text), 80)} is neither a whole number above 0 nor auto.")
    return number


SETTINGS_OPTIONS = (
    click.option(
        "--preset", metavar="NAME|FILE", help="A published recipe, see `dreamopt presets`, or a preset file; other options change it."
    ),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Repeatable. Any setting or number: steps=64, tv.share=0.2."
    ),
    click.option("--init", metavar="FILE", help="An image to start from."),
    size_option("Pixels.  [default: of --init, else of the net's file]"),
    click.option(
        "--default-size",
        "--usual-size",
        "default_size",
        type=int,
        help="Pixels where neither of these says it and the net can take it, as a preset does.",
    ),
    click.option("--steps", type=int, help="Steps of the optimizer, in each octave or stage.  [default: 256]"),
    click.option("--optimizer", metavar="TEXT", help="adam; ascent: DeepDream's normalised ascent; or another.  [default: adam]"),
    click.option("--lr", "--step-size", "lr", type=float, help="Grey levels per step.  [default: 32 falling to 1 for adam, 2 for ascent]"),
    click.option("--seed", type=int, help="Of the start and the transforms.  [default: 0]"),
    click.option("--parametrization", metavar="TEXT", help="What is searched: fourier, pixels, or another.  [default: fourier]"),
    click.option("--noise", type=float, help="Noise at the start, in grey levels.  [default: 4 for fourier, 10 for pixels]"),
    click.option("--jitter", type=int, help="Roll the image by up to so many pixels before each step.  [default: 8]"),
    click.option(
        "--transform",
        "transforms",
        multiple=True,
        metavar="TEXT",
        help="Repeatable, as 'lucid' or 'flip()'; after the jitter, instead of slight turns, sizes and noise.",
    ),
    click.option("--views", type=int, help="Differently transformed views that each step averages over.  [default: 1]"),
    click.option(
        "--tv",
        type=float,
        help="Weight of the penalty on squared differences of neighbours, which differs from net to net: tv.share does not.  [default: 0]",
    ),
    click.option("--l2", type=float, help="Weight of the penalty on the sum of squares; likewise l2.share.  [default: 0]"),
    click.option("--decay", type=float, help="Part of the distance to the mean colour that goes after each step.  [default: 0.0005]"),
    click.option("--blur", type=float, help="Gaussian blur after every fourth step, in pixels; falls to a fifth.  [default: 0.8]"),
    click.option(
        "-r", "--regularizer", "regularizers", multiple=True, metavar="TEXT", help="Repeatable, as in 'gaussian_blur(Linear(2.5, 0.5))'."
    ),
    click.option("--redirected", type=int, help="Steps at the start with redirected ReLUs, against dead ReLUs.  [default: 0]"),
    click.option(
        "--rule", metavar="TEXT", help="Backward rules of the gradient: guided, deconvnet, 'ReLU: guided, conv1: z_plus'.  [default: none]"
    ),
    click.option("--octaves", type=int, help="From small to large in so many sizes.  [default: 1]"),
    click.option("--octave-scale", type=float, help="Ratio of their sizes.  [default: 1.4]"),
    click.option("--stretch", is_flag=True, default=None, help="Show the image with its contrast stretched."),
    click.option("--transparency", is_flag=True, default=None, help="Transparent where the summed gradient is zero."),
    click.option("--mask", metavar="FILE", help="An image: change what is white in it alone, and what is grey by parts."),
    click.option("--strength", callback=_strength, metavar="NUMBER|FILE", help="How much of each step is taken, 0 to 1.  [default: 1]"),
    click.option("--original-colors", is_flag=True, default=None, help="Show the luminance in the colours of --init."),
    click.option("--blend", type=float, metavar="PART", help="How much of --init is shown in the image, 0 to 1.  [default: 0]"),
    click.option("--contrast", type=float, metavar="PERCENTILE", help="Show this percentile of the levels as white, as 99.98."),
    click.option(
        "--octave",
        "octave_settings",
        multiple=True,
        metavar="SETTINGS",
        help="Repeatable, from the smallest octave on: 'steps=20 jitter=16 layer=conv3', or target='2*conv3 + conv4:7'.",
    ),
    click.option(
        "--channels", metavar="HOW", help="How channels are shown: auto, colour, planes, flow, or their numbers, as 2,1,0.  [default: auto]"
    ),
    click.option(
        "--depth",
        type=click.Choice(["auto", "8", "16"]),
        help="Bits of each sample written.  [default: auto: of a dream its image's, else 8]",
    ),
    click.option(
        "--batch-size",
        "--batch",
        "batch_size",
        callback=_batch_size,
        metavar="N|auto",
        help="Targets optimized together, a matter of speed and memory; auto: measured once for a net and machine.  [default: auto]",
    ),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `chosen_settings` takes."""
    for option in reversed(SETTINGS_OPTIONS):
        command = option(command)
    return command


def chosen_settings(preset: str | None, assignments: Sequence[str], octave_settings: Sequence[str] = (), **options: Any) -> Any:
    """Return the settings of a preset (or the default ones), with what the options say instead."""
    from dreamopt.recipes.preset import preset as preset_named
    from dreamopt.recipes.preset import read_stage, resolve_settings

    given = {key: value for key, value in options.items() if value is not None and value != ()}
    if octave_settings:
        given["stages"] = [read_stage(text) for text in octave_settings]
        if options.get("octaves") is None:
            given["octaves"] = max(len(octave_settings), preset_named(preset).settings.octaves if preset is not None else 1)
    return resolve_settings(preset, given, assignments)


@click.command("render")
@net_option
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="TARGET",
    help="Repeatable. conv4:7 (filter), conv4:7@3,5 (neuron), fc8:tabby cat (class), conv4:0-15, conv4:*.",
)
@click.option(
    "-o",
    "--out",
    default="dreamopt.png",
    show_default=True,
    metavar="FILE",
    help="The image, .png or .tif; of several targets the contact sheet, beside a folder of the same name with one image each.",
)
@click.option("--variants", default=1, show_default=True, type=click.IntRange(min=1), help="Images of each target.")
@settings_options
@job_options
@net_options
def command(
    net: str | None,
    targets: tuple[str, ...],
    out: str,
    quiet: bool,
    as_json: bool,
    variants: int,
    every: int | None,
    resume: bool,
    memory: int | None,
    preview: str | None,
    **options: Any,
) -> None:
    """Make the images that filters, neurons and classes of a net like.

    One target gives one PNG; several give one each and a contact sheet. The paths go to stdout. Every PNG says in its metadata
    how it was made, with the command that makes it again. Ctrl-C writes the best so far and exits with 130; `--resume` goes on from
    there, and from where a crash left it.
    """
    from dreamopt.cli.net import NET_KEYS
    from dreamopt.recipes import plan_render
    from dreamopt.recipes.command import reproduce_command
    from dreamopt.recipes.output import check_output
    from dreamopt.recipes.store import with_kept_batch_size

    check_output(out)
    net_settings = {key: options.pop(key) for key in (*NET_KEYS, "allow_python_layers")}
    settings = with_kept_batch_size(chosen_settings(**options), out, resume)
    network, repeat, source = open_network(net, settings.size, **net_settings)
    plan = plan_render(
        network, targets, settings, variants=variants, say=None if quiet else lambda said: echo(f"dreamopt: {said}", err=True)
    )
    command = reproduce_command(plan, net, repeat, out)
    plan = replace(plan, provenance={"source": source, "load": {"net": net} | repeat, "command": command})
    rendered, sheet = run_job(plan, network, out, quiet=quiet, every=every, resume=resume, memory=memory, preview=preview)
    print_job(len(plan.samples), rendered, sheet, as_json, resumable=every != 0 or resume)
