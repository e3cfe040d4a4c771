"""``dreamopt replay``: an image made again from its metadata."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dreamopt.cli.echo import echo, echo_path
from dreamopt.cli.job import force_option
from dreamopt.cli.net import NET_KEYS, open_network, some_net_options
from dreamopt.cli.shell import shell_command
from dreamopt.cli.threads import threads_option

NAMED = ("weights", "labels", "mean", "device", "backend", "python", "cache", "precision", "allow_python_layers")
"""The net's options that may be given; the others are the metadata's."""
DEFAULTS = {"device": "auto", "backend": "auto"}


def _beside(image: Path) -> Path:
    """Return where the new image of an image goes."""
    from dreamopt.image.writing import SUFFIXES

    return image.with_name(f"{image.stem}-replay{image.suffix if image.suffix.lower() in SUFFIXES else '.png'}")


@click.command("replay")
@click.argument("image", metavar="IMAGE")
@click.option("-o", "--out", metavar="FILE", help="The new image: .png, .tif, .webp or .jpg.  [default: IMAGE-replay, of its format]")
@click.option("--net", metavar="PROTOTXT|NAME", help="The net, where it is no net by name and does not lie beside the image.")
@click.option("--init", metavar="FILE", help="The image that was started from; likewise.")
@click.option("--file", "files", multiple=True, metavar="FILE", help="Repeatable. Another file that was read; likewise.")
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="Repeatable. An installed plugin that the image may name.")
@some_net_options(*NAMED)
@force_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@threads_option
@click.pass_context
def command(
    context: click.Context,
    /,
    image: str,
    out: str | None,
    files: tuple[str, ...],
    plugins: tuple[str, ...],
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make an image again from its metadata, and say on stderr whether it came out the same.

    The image may be anybody's: its metadata choose among built-in nets, parts and numbers. Files are opened where you name them, or
    where the same file lies beside the image; programs, plugins and other backends are yours alone to name, and what is needed is said
    with the command to type. On the same machine with the same number of threads the bits are the same.
    """
    import numpy as np

    from dreamopt.cli.interrupt import interruptible
    from dreamopt.image.files import read_metadata, read_written
    from dreamopt.image.writing import LOSSY_SUFFIXES
    from dreamopt.progress.rendering import rendering
    from dreamopt.recipes.command import as_argument, option_words, reproduce_command
    from dreamopt.recipes.inputs import RecordedInputs
    from dreamopt.recipes.metadata import checked_image
    from dreamopt.recipes.output import check_new, check_output
    from dreamopt.recipes.plan import Plan, recorded_hashes
    from dreamopt.recipes.rendered import write_rendered
    from dreamopt.recipes.replay import differences, net_of, replay

    metadata = checked_image(read_metadata(image), image)
    path = check_output(_beside(Path(image)) if out is None else out)
    if out is not None and not force:  # an earlier replay under its own name may go
        check_new([path], resumable=False)
    given = {name: value for name, value in options.items() if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}

    def remedy(needs: Mapping[tuple[str, str], str]) -> str:
        said = option_words(given | {"file": files, "plugin": plugins, "out": out})
        needed = [word for option, value in needs for word in (f"--{option}", value)]
        return "type " + shell_command(["dreamopt", "replay", as_argument(image), *said, *needed])

    inputs = RecordedInputs(recorded_hashes(metadata), Path(image).parent, files, remedy)
    if given.get("init") is not None and metadata["settings"].get("init") is not None:
        inputs.name(metadata["settings"]["init"], given["init"])
    net, load = net_of(metadata, inputs, dict.fromkeys((*NET_KEYS, "net")) | {key: given[key] for key in given if key != "init"})
    plan = Plan.read(metadata, inputs, what=f"the metadata of {image}", plugins=plugins)
    network, repeat, source = open_network(net, plan.size, **load | {key: load[key] or value for key, value in DEFAULTS.items()})
    again = reproduce_command(plan, net, repeat, str(path))
    plan = replace(plan, provenance={"source": source, "load": {"net": net} | repeat, "command": again})
    with interruptible() as stop, rendering(not quiet, len(plan.samples), plan.total_steps, plan.pixel_steps) as report:
        rendered = replay(network, metadata, plan=plan, callbacks=report.callbacks, stop=stop)
    echo_path(write_rendered(rendered, path))
    if rendered.interrupted:
        click.echo("dreamopt: interrupted; the image holds the best so far.", err=True)
        click.get_current_context().exit(130)
    before, made = read_written(image), rendered.image
    lossy = Path(image).suffix.lower() in LOSSY_SUFFIXES
    if lossy and path.suffix.lower() in LOSSY_SUFFIXES:
        made, lossy = read_written(path), False
    same_kind = (before.shape, before.dtype) == (made.shape, made.dtype)
    far = float(np.abs(before.astype(int) - made).max()) if same_kind else 255.0
    far = far / 257 if same_kind and before.dtype == np.uint16 else far
    reasons = [*differences(metadata, network, inputs), *(["a JPEG keeps pixels only nearly"] if lossy and far else [])]
    result = "the same pixels" if far == 0 else f"differs by up to {far:.4g} grey levels"
    echo(f"dreamopt: {result}{' (' + '; '.join(reasons) + ')' if reasons else ''}.", err=True)
