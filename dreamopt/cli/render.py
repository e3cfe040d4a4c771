"""``dreamopt render``: images that filters, neurons and classes like."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from dreamopt.cli.echo import echo
from dreamopt.cli.job import job_options, print_job, run_job
from dreamopt.cli.net import net_option, net_options, open_network, whole_number
from dreamopt.cli.sections import SectionedCommand, of_image, of_optimizer, of_recipe, of_regularizers, of_run, of_target
from dreamopt.cli.spelling import check_targets, spelt
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
    return of_image("--size", callback=_size, metavar="N|WxH", help=text)


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


def _preset(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse a name that no preset has before anything is loaded."""
    from dreamopt.parts.preset_files import check_preset

    if name is not None:
        check_preset(name)
    return name


SETTINGS_OPTIONS = (
    of_recipe(
        "--preset",
        callback=_preset,
        metavar="NAME|FILE",
        help="A published recipe, as lucid2017 (`dreamopt presets` lists them), or a preset file; other options change it.",
    ),
    of_recipe(
        "--set",
        "assignments",
        multiple=True,
        callback=spelt(None),
        metavar="KEY=VALUE",
        help="Repeatable. Any setting, as steps=64, or a number of a part, as adam.step_size=8, tv.share=0.2.",
    ),
    of_recipe("--octaves", type=int, help="Make the image from small to large in so many sizes, as DeepDream does.  [default: 1]"),
    of_recipe("--octave-scale", type=float, help="How many times larger each octave is than the one before.  [default: 1.4]"),
    of_recipe(
        "--octave",
        "octave_settings",
        multiple=True,
        metavar="SETTINGS",
        help="Repeatable, from the smallest octave on: its settings, as 'steps=20 layer=conv3', or target='2*conv3 + conv4:7'.",
    ),
    size_option(
        "Pixels: one number is a square, of a dream or a zoom the longer side of its image.  [default: of --init, else of the net's file]"
    ),
    of_image(
        "--default-size",
        "--usual-size",
        "default_size",
        type=int,
        help="Pixels where neither --size nor --init says it and the net can take it, as a preset does.",
    ),
    of_image("--init", metavar="FILE", help="An image to start from, instead of noise."),
    of_image(
        "--parametrization",
        callback=spelt("parametrization"),
        metavar="TEXT",
        help="What is searched: fourier (the spectrum), pixels, or another (docs/parametrizations.md).  [default: fourier]",
    ),
    of_image("--noise", type=float, help="Spread of the noise at the start, in grey levels.  [default: 4 for fourier, 10 for pixels]"),
    of_image("--stretch", is_flag=True, default=None, help="Show the image with its contrast stretched about middle grey."),
    of_image("--contrast", type=float, metavar="PERCENTILE", help="Show this percentile of the levels as white, as 99.98."),
    of_image("--transparency", is_flag=True, default=None, help="Make transparent what hardly had a gradient, as MaCo does."),
    of_image("--original-colors", is_flag=True, default=None, help="Show the luminance in the colours of --init."),
    of_image("--blend", type=float, metavar="PART", help="How much of --init is shown in the image, 0 to 1.  [default: 0]"),
    of_image(
        "--channels",
        metavar="HOW",
        help="How the net's input channels are shown: auto, colour, planes, flow, or their numbers, as 2,1,0.  [default: auto]",
    ),
    of_image(
        "--depth",
        type=click.Choice(["auto", "8", "16"]),
        help="Bits of each sample of the file; 16 with .png and .tif.  [default: auto: of a dream its image's, else 8]",
    ),
    of_optimizer("--steps", type=int, help="Steps of the optimizer, in each octave or stage.  [default: 256]"),
    of_optimizer(
        "--optimizer",
        callback=spelt("optimizer"),
        metavar="TEXT",
        help="adam; ascent: steps of the gradient over its mean size, as DeepDream; or another, as 'rmsprop(4)' (docs/optimizers.md).  "
        "[default: adam]",
    ),
    of_optimizer(
        "--lr",
        "--step-size",
        "lr",
        type=float,
        help="The optimizer's step size (learning rate), in grey levels per step.  [default: 32 falling to 1 for adam, 2 for ascent]",
    ),
    of_optimizer("--seed", type=int, help="Of the noise at the start and of the random transforms.  [default: 0]"),
    of_optimizer(
        "--jitter",
        type=int,
        help="Shift what the net sees by up to so many pixels at random; edges wrap round.  [default: 8]",
    ),
    of_optimizer(
        "--transform",
        "transforms",
        multiple=True,
        callback=spelt("transform"),
        metavar="TEXT",
        help="Repeatable. Random transforms of what the net sees in each step, after the jitter: 'lucid' (Lucid's own), 'flip()', "
        "'rotate((-10, 10))' (docs/transforms.md).  [default: slight turns, sizes and noise]",
    ),
    of_optimizer("--views", type=int, help="Average each step's gradient over so many differently transformed views.  [default: 1]"),
    of_optimizer(
        "--redirected",
        type=int,
        help="For so many steps at the start, let gradients pass where ReLUs would stop them all, as Lucid does.  [default: 0]",
    ),
    of_optimizer(
        "--rule",
        callback=spelt("rule"),
        metavar="TEXT",
        help="Instead of the derivative: guided (backpropagation), deconvnet, 'ReLU: guided, conv1: z_plus'.  [default: none]",
    ),
    of_optimizer("--mask", metavar="FILE", help="An image: change only where it is white, and by parts where it is grey."),
    of_optimizer(
        "--strength",
        callback=_strength,
        metavar="NUMBER|FILE",
        help="Part of each step that is taken, 0 to 1, or its image.  [default: 1]",
    ),
    of_regularizers(
        "--tv",
        type=float,
        help="Total variation: weight of the squared differences of neighbours, summed; --set tv.share=0.2 fits every net.  [default: 0]",
    ),
    of_regularizers("--l2", type=float, help="L2: weight of the squared distance from the mean colour, summed.  [default: 0]"),
    of_regularizers(
        "--decay", type=float, help="Weight decay: the part of the distance from the mean colour that goes in each step.  [default: 0.0005]"
    ),
    of_regularizers(
        "--blur", type=float, help="Gaussian blur after every fourth step: sigma in pixels, which falls to a fifth.  [default: 0.8]"
    ),
    of_regularizers(
        "-r",
        "--regularizer",
        "regularizers",
        multiple=True,
        callback=spelt("regularizer"),
        metavar="TEXT",
        help="Repeatable. Another one, as 'bilateral(20, 2)', 'gaussian_blur(Linear(2.5, 0.5))' (docs/regularizers.md).",
    ),
    of_run(
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


@click.command("render", cls=SectionedCommand)
@net_option
@of_target(
    "-t",
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="TARGET",
    help="Repeatable. 'conv4:7' (filter), 'conv4:7@3,5' (neuron), 'fc8:tabby cat' (class), 'conv4:0-15', 'conv4:*'.",
)
@of_image(
    "-o",
    "--out",
    default="dreamopt.png",
    show_default=True,
    metavar="FILE",
    help="The image: .png, .tif, .webp or .jpg; of several targets the contact sheet, beside a folder of that name with one each.",
)
@of_target("--variants", default=1, show_default=True, type=click.IntRange(min=1), help="Images of each target.")
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
    force: bool,
    memory: int | None,
    preview: str | None,
    **options: Any,
) -> None:
    """Make the images that filters, neurons and classes of a net like.

    One target gives one PNG; several give one each and a contact sheet. The paths go to stdout. Every PNG says in its metadata
    how it was made, with the command that makes it again. Ctrl-C writes the best so far and exits with 130; `--resume` goes on from
    there, and from where a crash left it.
    """
    check_targets(targets, net, options)
    from dreamopt.cli.net import NET_KEYS
    from dreamopt.recipes import plan_render
    from dreamopt.recipes.command import reproduce_command
    from dreamopt.recipes.linear_targets import linear_hints
    from dreamopt.recipes.output import check_new, check_output
    from dreamopt.recipes.store import with_kept_batch_size

    path = check_output(out)
    if not (force or resume):
        check_new([path])
    net_settings = {key: options.pop(key) for key in (*NET_KEYS, "allow_python_layers")}
    settings = with_kept_batch_size(chosen_settings(**options), out, resume)
    network, repeat, source = open_network(net, settings.size, **net_settings)
    plan = plan_render(
        network, targets, settings, variants=variants, say=None if quiet else lambda said: echo(f"dreamopt: {said}", err=True)
    )
    for hint in () if quiet else linear_hints(network, [sample.objective for sample in plan.samples]):
        echo(f"dreamopt: note: {hint}", err=True)
    command = reproduce_command(plan, net, repeat, out)
    plan = replace(plan, provenance={"source": source, "load": {"net": net} | repeat, "command": command})
    rendered, sheet = run_job(plan, network, out, quiet=quiet, every=every, resume=resume, force=force, memory=memory, preview=preview)
    print_job(len(plan.samples), rendered, sheet, as_json, resumable=every != 0 or resume)
