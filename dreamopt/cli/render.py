"""``dreamopt render``: pictures that filters, neurons and classes like."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from dreamopt.cli.net import net_options, open_network


def _size(_: click.Context, __: click.Parameter, text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is neither a number of pixels nor WIDTHxHEIGHT.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[1]), int(parts[0]))


def again(net: str | None, repeat: Mapping[str, Any], targets: Sequence[Any], variants: int, settings: Any, out: str) -> str:
    """Return the command that makes the same pictures again: every setting said, no default left to a later version."""
    words = ["dreamopt", "render", "--net", net or "tiny"]
    for key, value in repeat.items():
        if isinstance(value, bool):
            words += [f"--{key.replace('_', '-')}"] if value else []
        elif value is not None:
            for one in value if isinstance(value, list | tuple) else (value,):
                words += [f"--{key.replace('_', '-')}", str(one)]
    # `expand` gives each target so many times in a row.
    place = 0
    while place < len(targets):
        words += ["--target", targets[place].text]
        place += targets[place].objective.batch or variants if targets[place].coupled else variants
    if variants > 1:
        words += ["--variants", str(variants)]
    told = settings.describe()
    size = told.pop("size")
    if size is not None:
        words += ["--size", f"{size[1]}x{size[0]}" if isinstance(size, list) else str(size)]
    for key, option in (("regularizers", "--regularizer"), ("transforms", "--transform")):
        texts = told.pop(key)
        for text in texts:
            words += [option, text]
        if not texts:
            words += ["--set", f"{key}=[]"]
    stages = told.pop("stages")
    if stages:
        words += ["--set", f"stages={json.dumps(stages)}"]
    for key, value in told.items():
        if isinstance(value, bool):
            words += [f"--{key}"] if value else []
        elif value is not None:
            words += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join([*words, "-o", out])


SETTINGS_OPTIONS = (
    click.option("--preset", metavar="NAME", help="A published recipe, see `dreamopt presets`; other options change it."),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Repeatable. Any setting or number: steps=64, tv.weight=0.1."
    ),
    click.option("--init", metavar="FILE", help="A picture to start from."),
    click.option("--size", callback=_size, metavar="N|WxH", help="Pixels.  [default: of --init, else of the net's file]"),
    click.option("--usual-size", type=int, help="Pixels where neither of these says it and the net can take it, as a preset does."),
    click.option("--steps", type=int, help="Steps of the optimizer, in each octave or stage.  [default: 256]"),
    click.option("--optimizer", metavar="TEXT", help="adam; ascent: DeepDream's normalised ascent; or another.  [default: adam]"),
    click.option("--lr", type=float, help="Grey levels per step.  [default: 4 for adam, 2 for ascent]"),
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
    click.option("--tv", type=float, help="Weight of the penalty on the sum of squared differences of neighbours.  [default: 0]"),
    click.option("--l2", type=float, help="Weight of the penalty on the sum of squares.  [default: 0]"),
    click.option("--decay", type=float, help="Part of the distance to the mean colour that goes after each step.  [default: 0]"),
    click.option("--blur", type=float, help="Gaussian blur after every fourth step, in pixels; falls to a fifth.  [default: 0.5]"),
    click.option(
        "-r", "--regularizer", "regularizers", multiple=True, metavar="TEXT", help="Repeatable, as in 'gaussian_blur(Linear(2.5, 0.5))'."
    ),
    click.option("--redirected", type=int, help="Steps at the start with redirected ReLUs, against dead starts.  [default: 0]"),
    click.option("--octaves", type=int, help="From small to large in so many sizes.  [default: 1]"),
    click.option("--octave-scale", type=float, help="Ratio of their sizes.  [default: 1.4]"),
    click.option("--stretch", is_flag=True, default=None, help="Show the picture with its contrast stretched."),
    click.option("--transparency", is_flag=True, default=None, help="Clear where no gradient came to."),
    click.option("--batch-size", type=int, help="Targets climbed together; a matter of speed and memory.  [default: 8]"),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `chosen_settings` takes."""
    for option in reversed(SETTINGS_OPTIONS):
        command = option(command)
    return command


def chosen_settings(preset: str | None, assignments: Sequence[str], **said: Any) -> Any:
    """Return the settings of a preset (or the default ones), with what the options say instead."""
    from dreamopt.recipes.preset import chosen

    given = {key: value for key, value in said.items() if value is not None and value != ()}
    return chosen(preset, given, assignments)


@click.command("render")
@click.option("--net", metavar="PROTOTXT|NAME", help="A prototxt, or a name of `dreamopt models`.  [default: tiny, the embedded net]")
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
    metavar="FILE.png",
    help="The picture; of several targets the contact sheet, beside a folder of the same name with one picture each.",
)
@click.option("--variants", default=1, show_default=True, type=click.IntRange(min=1), help="Pictures of each target.")
@settings_options
@click.option(
    "--checkpoint",
    "every",
    type=click.IntRange(min=0),
    metavar="STEPS",
    help="Keep the climb every so many steps; 0: never.  [default: every 30 s]",
)
@click.option("--resume", is_flag=True, help="Take up a rendering that was cut short, with the same options.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of their paths.")
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
    **options: Any,
) -> None:
    """Make the pictures that filters, neurons and classes of a net like.

    One target gives one PNG; several give one each and a contact sheet. The paths go to stdout. Every PNG tells in its metadata
    how it was made, with the command that makes it again. Ctrl-C writes the best so far and exits with 130; `--resume` goes on from
    there, and from where a crash left it.
    """
    from dreamopt.cli.net import NET_KEYS
    from dreamopt.cli.progress import interruptible, rendering
    from dreamopt.recipes import expand, render
    from dreamopt.recipes.save import check_output, save
    from dreamopt.recipes.store import Shelf

    check_output(out)
    said = {key: options.pop(key) for key in NET_KEYS}
    settings = chosen_settings(**options)
    network, repeat, source = open_network(net, settings.size, **said)
    expanded = expand(network, targets, settings.size, variants)
    wanted = [target.text for target in expanded]
    story = {"source": source, "load": {"net": net} | repeat, "command": again(net, repeat, expanded, variants, settings, out)}
    shelf = None
    if every != 0 or resume:
        shelf = Shelf(f"{out}.checkpoint", every or None, None if every else 30.0, resume)
    with interruptible() as stop, rendering(quiet, len(wanted), settings.total_steps) as report:
        rendered = render(network, targets, settings, story=story, callbacks=[report], stop=stop, shelf=shelf, variants=variants)
    if not rendered:
        raise KeyboardInterrupt
    singles, sheet = save(rendered, out, title=network_title(source), wanted=len(wanted))
    if as_json:
        results = [{"path": str(path)} | dict(one.metadata) for path, one in zip(singles, rendered, strict=True)]
        click.echo(json.dumps({"pictures": results, "sheet": None if sheet is None else str(sheet)}, indent=2))
    else:
        for path in [*singles, *([] if sheet is None else [sheet])]:
            click.echo(path)
    for one in rendered:
        if one.dead is not None:
            click.echo(f"dreamopt: warning: {one.target.text} shows only its start: {one.dead}", err=True)
        for what in ("stopped", "setback"):
            if one.metadata.get(what):
                click.echo(f"dreamopt: warning: {one.target.text}: {one.metadata[what]}", err=True)
    interrupted = any(one.interrupted for one in rendered) or len(rendered) < len(wanted)
    if interrupted:
        goes_on = "" if shelf is None else " --resume goes on."
        click.echo(f"dreamopt: interrupted; {len(rendered)} of {len(wanted)} pictures written, the best so far.{goes_on}", err=True)
        click.get_current_context().exit(130)


def network_title(source: Mapping[str, Any]) -> str:
    """Return what a sheet says above its pictures."""
    return str(source["net"])
