"""``dreamopt attribute``: what in an image a unit answers to."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.attribute_job import Job, Look, words_of
from dreamopt.cli.compare import COMPARE_OPTIONS, check_compare
from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.job import force_option
from dreamopt.cli.net import NET_KEYS, net_option, net_options, open_network
from dreamopt.cli.render import size_option
from dreamopt.cli.sections import SectionedCommand, of_image, of_recipe, of_run, of_target
from dreamopt.cli.spelling import check_targets, spelt

if TYPE_CHECKING:
    from dreamopt.attribution.method import AttributionMethod

OPTIONS = (
    of_target(
        "-t",
        "--target",
        "targets",
        multiple=True,
        metavar="TARGET",
        help="Repeatable. What is explained: 'fc8:281' or 'fc8:tabby cat' (a class), 'conv4:7' (a filter), 'conv4:7@3,5' (a neuron), "
        "or any objective.  [default: each image's highest class]",
    ),
    of_recipe(
        "-m",
        "--method",
        "methods",
        multiple=True,
        callback=spelt("attribution method"),
        metavar="METHOD",
        help="Repeatable. As guided_backprop, 'smoothgrad(samples=50)'; all: every one, on a sheet; see --list.  [default: saliency]",
    ),
    of_image(
        "-o",
        "--out",
        default="attribution.png",
        show_default=True,
        metavar="FILE",
        help="The heat map, .png, .tif, .webp or .jpg, with FILE-overlay and FILE.npy beside; of several maps a sheet, beside a folder "
        "of the same name with the files of each.",
    ),
    of_image(
        "--summary",
        metavar="HOW",
        help="How channels become a heat map: sum, abs_max, positive_sum, norm; or rgb: the channels' own values about grey, as guided "
        "backpropagation is printed in papers.  [default: the method's]",
    ),
    of_image(
        "--clip",
        type=float,
        metavar="PERCENTILE",
        help="Of the absolute values: what lies above has the strongest colour, too; 100: nothing is clipped.  [default: 99.5]",
    ),
    of_image(
        "--colors",
        metavar="MAP",
        help="Colour map: RdBu_r, coolwarm, seismic, inferno, magma, viridis, turbo, jet, hot, gray, each also turned round (_r), or "
        "any of matplotlib's where it is installed.  [default: RdBu_r for values of both signs, 0 in the middle, else inferno]",
    ),
    of_image("--opacity", type=float, help="Of the overlay's strongest colours, 0 to 1.  [default: 0.7]"),
    of_image(
        "--sheet", "on_sheet", type=click.Choice(["map", "overlay"]), default="map", show_default=True, help="What a sheet shows of each."
    ),
    size_option("Pixels.  [default: of the net's file]"),
    of_recipe("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of methods that draw random numbers."),
    of_run(
        "--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Versions of an image that pass through the net at once."
    ),
    of_recipe("--list", "listed", is_flag=True, help="List the methods and end."),
    force_option,
    of_run("-q", "--quiet", is_flag=True, help="No progress and no notes."),
    of_run("--json", "as_json", is_flag=True, help="Print the results as JSON instead of their paths."),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((*OPTIONS, *COMPARE_OPTIONS)):
        command = option(command)
    return command


@click.command("attribute", cls=SectionedCommand)
@click.argument("images", metavar="IMAGE...|FOLDER", nargs=-1)
@net_option
@_options
@net_options
def command(
    images: tuple[str, ...],
    net: str | None,
    targets: tuple[str, ...],
    methods: tuple[str, ...],
    out: str,
    summary: str | None,
    clip: float | None,
    colors: str | None,
    opacity: float | None,
    on_sheet: str,
    size: int | tuple[int, int] | None,
    seed: int,
    batch: int,
    listed: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    compare: bool,
    metrics: tuple[str, ...],
    masks: str | None,
    pointing: int | None,
    sanity: bool,
    **options: Any,
) -> None:
    """Show what in images a unit of a net answers to: a heat map, the same over the image, and the numbers.

    The paths go to stdout. Each image says in its metadata what was explained (a logit, a probability, another activation), by which
    method with which settings, and the command that makes it again. An image of another size than the net's is scaled to cover it and cut
    to its middle. Of a net whose input is no image, give .npy files of its input; the numbers alone are written.

    Ctrl-C leaves what is done and exits with 130.
    """
    if listed:
        _list_methods(as_json)
        return
    check_compare(compare, images, metrics, masks, pointing, net)
    if not images and pointing is None:
        raise click.UsageError("Missing argument 'IMAGE...'; --list lists the methods.")
    check_targets(targets, net, options)
    if compare:
        from dreamopt.cli.compare import compare as run
        from dreamopt.network.made_with import made_with

        network, repeat, source = open_network(net, size, **{key: options[key] for key in (*NET_KEYS, "allow_python_layers")})
        chosen = click.get_current_context().get_parameter_source("out") is not click.core.ParameterSource.DEFAULT
        about = {"source": source, "load": {"net": net} | repeat, "made_with": made_with(network)}
        run(
            network,
            _files(images),
            targets,
            methods,
            metrics=metrics,
            masks=masks,
            pointing=pointing,
            sanity=sanity,
            size=size,
            seed=seed,
            batch=batch,
            out=out if chosen else None,
            force=force,
            quiet=quiet,
            as_json=as_json,
            about=about,
        )
        return
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.progress.passes import attributing
    from dreamopt.recipes.output import check_output

    look = Look.of(summary, clip, colors, opacity, on_sheet)
    check_output(out)
    parts = _parts(methods)
    files = _files(images)
    network, repeat, source = open_network(net, size, **{key: options[key] for key in (*NET_KEYS, "allow_python_layers")})
    words = words_of(net, repeat, look, size, seed, batch)
    job = Job(network, look, parts, Path(out), {"source": source, "load": {"net": net} | repeat}, words, seed, batch)
    job.plan(files, targets, size, force=force)
    with interruptible("and what is done stays") as stop, attributing(not quiet, job.passes()) as progress:
        job.run(size, progress, stop, quiet)
    sheet = job.write_sheet(quiet)
    if as_json:
        echo_json({"attributions": job.results, "failed": job.failed, "sheet": None if sheet is None else str(sheet)})
    else:
        for path in [*job.written, *([] if sheet is None else [sheet])]:
            echo_path(path)
    if job.interrupted:
        echo(f"dreamopt: interrupted; {len(job.results)} of {len(job.rows) * len(parts)} maps are done.", err=True)
        click.get_current_context().exit(130)
    if job.unread:
        click.get_current_context().exit(1)


def _parts(names: Sequence[str]) -> list["AttributionMethod"]:
    """Return the methods that are named; those that pass an image through the net least often come first of ``all``."""
    from dreamopt.attribution.method import methods, parse_method

    found: dict[str, AttributionMethod] = {}
    for name in names or ("saliency",):
        several = [parse_method(one) for one in methods.names()] if name == "all" else [parse_method(name)]
        if name == "all":
            several.sort(key=lambda part: (part.evaluations() is None, part.evaluations() or 0))
        found |= {str(part): part for part in several if str(part) not in found}
    return list(found.values())


def _files(images: Sequence[str]) -> list[str]:
    from dreamopt.image.spectrum import image_files

    return [str(file) for image in images for file in (image_files(image) if os.path.isdir(image) else [image])]


def _list_methods(as_json: bool) -> None:
    from rich.table import Table

    from dreamopt.attribution.method import methods
    from dreamopt.cli.output import cell
    from dreamopt.progress.terminal import console

    rows = [(plugin.name, (plugin.make.__doc__ or "").strip().partition("\n")[0]) for plugin in methods]
    if as_json:
        echo_json([{"name": name, "what": what} for name, what in rows])
        return
    table = Table("method", "what it shows", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(cell, row))
    console().print(table)
