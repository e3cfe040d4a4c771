"""``dreamopt atlas``: every unit of a net, as a folder of images, records and pages."""

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from dreamopt.cli.echo import echo, echo_path
from dreamopt.cli.net import NET_KEYS, net_option, net_options, open_network
from dreamopt.cli.render import chosen_settings, settings_options
from dreamopt.cli.sections import SectionedCommand, of_run, of_target
from dreamopt.cli.threads import threads_taken
from dreamopt.errors import printable

_ARGUMENTS = "dreamopt.arguments"
_UNITS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*")


class _Remembering(SectionedCommand):
    """A command that knows the words that it was called with: an atlas says how it was made."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def _units(_: click.Context, __: click.Parameter, text: str | None) -> list[int] | None:
    if text is None:
        return None
    if not _UNITS.fullmatch(text):
        raise click.BadParameter(f"{printable(repr(text), 80)} is no list of units, as 0-15 or 3,5,8-11.")
    units: set[int] = set()
    for part in text.split(","):
        first, _dash, last = part.partition("-")
        low, high = int(first), int(last or first)
        if high - low > 10**6:
            raise click.BadParameter(f"{printable(repr(text), 80)} names too many units.")
        units.update(range(low, high + 1))
    return sorted(units)


@contextlib.contextmanager
def _telling_what_is_kept(out: str, quiet: bool) -> Iterator[None]:
    """Say after Ctrl-C which command writes the pages of what is finished."""
    try:
        yield
    except KeyboardInterrupt:
        if not quiet and (Path(out) / "atlas.json").is_file():
            pages = printable(shlex.join(["dreamopt", "atlas", "--site-only", "-o", out]))
            echo(f"dreamopt: what is finished is kept, and the same command goes on; `{pages}` writes the pages of it", err=True)
        raise


@click.command("atlas", cls=_Remembering)
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@net_option
@of_target(
    "--layers",
    multiple=True,
    metavar="PATTERN",
    help="Repeatable. Of which layers, as conv3, 'conv*' or 'inception_*'.  [default: all whose units have weights]",
)
@of_target("--units", callback=_units, metavar="0-15,20", help="Of which units of each layer.  [default: all]")
@of_target("--images", metavar="FOLDER", help="Images that the units are shown: top crops, quantiles, histograms.")
@of_target(
    "--variants",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="From 2 on, so many more that differ from each other.",
)
@of_target("--minus", is_flag=True, help="Also what each unit likes least.")
@of_target("--activation-atlas", is_flag=True, help="Also an activation atlas of each layer; it needs --images.")
@of_target("--classes", multiple=True, metavar="A,B", help="Repeatable. Classes that get an atlas of their own, and are compared.")
@of_target("--piece", "pieces", multiple=True, metavar="NAME", help="Repeatable. Only these results, as image.  [default: all]")
@of_run("-o", "--out", default="atlas", show_default=True, metavar="FOLDER", help="Where it goes. What is there is not made again.")
@of_run("--workers", default=0, show_default=True, type=click.IntRange(0, 10_000), help="Processes of this machine; 0: this one.")
@of_run("--scheduler", metavar="ADDRESS", help="Of a scheduler of dask.distributed, as tcp://10.0.0.1:8786.")
@of_run("--site/--no-site", default=True, show_default=True, help="Write the pages.")
@of_run("--site-only", is_flag=True, help="Write the pages of what is there, and make nothing.")
@of_run("-q", "--quiet", is_flag=True, help="No progress and no notes.")
@settings_options
@net_options
@click.pass_context
def command(
    context: click.Context,
    /,
    patterns: tuple[str, ...],
    net: str | None,
    layers: tuple[str, ...],
    units: list[int] | None,
    images: str | None,
    variants: int,
    minus: bool,
    activation_atlas: bool,
    classes: tuple[str, ...],
    pieces: tuple[str, ...],
    out: str,
    workers: int,
    scheduler: str | None,
    site: bool,
    site_only: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make an atlas of a net: every unit of its layers with its images, its answers and its connections.

    A PATTERN is as one of --layers. The first page's path goes to stdout. What is in the folder is not made again: after Ctrl-C, which
    exits with 130, after a crash, and after a changed setting, the same command makes what is missing.
    """
    from dreamopt.atlas.folder import ATLAS, AtlasFolder
    from dreamopt.atlas.make import make_atlas, write_pages
    from dreamopt.errors import UsageError

    if site_only:
        if not (Path(out) / ATLAS).is_file():
            raise UsageError(f"{out} holds no atlas")
        with AtlasFolder(out) as folder:
            echo_path(write_pages(folder.path))
        return
    net_settings = {key: options.pop(key) for key in (*NET_KEYS, "allow_python_layers")}
    settings = chosen_settings(**options)
    network, repeat, source = open_network(net, settings.size, **net_settings)
    with _telling_what_is_kept(out, quiet):
        path = make_atlas(
            network,
            out,
            layers=[*layers, *patterns] or None,
            images=images,
            variants=variants,
            minus=minus,
            pieces=pieces or None,
            activation_atlas=activation_atlas,
            classes=classes,
            workers=workers,
            scheduler=scheduler,
            units=units,
            command=shlex.join(["dreamopt", "atlas", *context.meta[_ARGUMENTS]]),
            progress=not quiet,
            site=site,
            settings=settings,
            load={"net": net} | repeat,
            source=source,
            allow_python_layers=bool(net_settings["allow_python_layers"]),
            threads=threads_taken(context),
            say=None if quiet else lambda said: echo(f"dreamopt: {said}", err=True),
        )
    echo_path(path)
