"""``dreamopt models``: list, show and fetch public Caffe models."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dreamopt import models
from dreamopt.cli.echo import echo, echo_json, echo_path

if TYPE_CHECKING:
    from dreamopt.models import Model

UNKNOWN = "unknown"


def _numbers(values: tuple[float, ...] | None, separator: str = ",") -> str:
    return separator.join(f"{value:g}" for value in values) if values else UNKNOWN


def _as_json(model: "Model", cache: str | None) -> dict[str, Any]:
    return asdict(model) | {"cached": {role: str(path) for role, path in (models.cached(model, cache) or {}).items()}}


def _list(cache: str | None) -> None:
    from rich import box
    from rich.table import Table

    from dreamopt.cli.output import cell
    from dreamopt.progress.terminal import console

    table = Table(
        box=box.SIMPLE_HEAD,
        title="Public Caffe models",
        title_justify="left",
        caption="* fetched; - no address known. `dreamopt models show NAME` tells all.",
    )
    for heading in ("name", "", "input", "mean", "licence", "layers worth seeing"):
        table.add_column(heading, overflow="fold")
    for model in models.load_catalogue().values():
        mark = "*" if models.cached(model, cache) else ("" if model.complete else "-")
        licence = model.licence or UNKNOWN
        shape = _numbers(model.input, "x")
        row = (model.name, mark, shape, _numbers(model.mean), licence, ", ".join(model.layers) or UNKNOWN)
        table.add_row(*map(cell, row))
    console().print(table)


@click.group("models", invoke_without_command=True)
@click.option("--cache", metavar="DIR", help="Cache folder.  [default: $DREAMOPT_CACHE, else ~/.cache/dreamopt]")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
@click.pass_context
def command(context: click.Context, cache: str | None, as_json: bool) -> None:
    """List public Caffe models: name, input, mean, licence, layers worth seeing."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        echo_json([_as_json(model, cache) for model in models.load_catalogue().values()])
    else:
        _list(cache)


@command.command("show")
@click.argument("name")
@click.option("--cache", metavar="DIR", help="Cache folder.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(name: str, cache: str | None, as_json: bool) -> None:
    """Print all that is known about one model, and where it was read."""
    model = models.load_catalogue()[name]
    if as_json:
        echo_json(_as_json(model, cache))
        return
    rows = [
        ("name", model.name),
        ("what", model.title),
        ("home", model.home),
        ("licence", model.licence or UNKNOWN),
        ("input", _numbers(model.input, "x")),
        ("mean", f"{_numbers(model.mean)} ({model.channel_order})" if model.mean else UNKNOWN),
        ("scale", f"{model.scale:g}"),
        ("layers", ", ".join(model.layers) or UNKNOWN),
    ]
    for role, remote in model.files.items():
        rows += [(role, url) for url in remote.urls]
        rows += [("", f"{remote.size} bytes")] if remote.size else []
        rows += [("", f"{algorithm} {digest}") for algorithm, digest in remote.checksums.items()]
        rows += [("", f"inside the archive: {remote.member}")] if remote.member else []
        rows += [("", f"the archive: {remote.archive_size} bytes")] if remote.archive_size else []
        rows += [("", f"the archive: {algorithm} {digest}") for algorithm, digest in remote.archive_checksums.items()]
    rows += [("read in", fact) for fact in model.facts]
    rows += [("cached", str(path)) for path in (models.cached(model, cache) or {}).values()]
    for key, text in rows:
        echo(f"{key:<10}{text}")


@command.command("get")
@click.argument("name")
@click.option("--cache", metavar="DIR", help="Cache folder.  [default: $DREAMOPT_CACHE, else ~/.cache/dreamopt]")
@click.option(
    "--timeout", default=30.0, show_default=True, help="Seconds after which an attempt in which less than 4 KiB/s came is broken."
)
@click.option("--retries", default=3, show_default=True, help="Further attempts per address.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def get(name: str, cache: str | None, timeout: float, retries: int, quiet: bool) -> None:
    """Fetch a model's files into the cache and print their paths.

    A broken download goes on where it stopped, in the same call or the next; nothing appears under its final name before its
    published checksum agrees.
    """
    from dreamopt.cli.output import download_progress

    model = models.load_catalogue()[name]
    with download_progress(quiet) as report:
        files = models.fetch(model, cache, timeout=timeout, retries=retries, progress=report)
    for path in files.values():
        echo_path(path)
    if not quiet:
        unchecked = [model.files[role].name for role in files if not model.files[role].checksums]
        if unchecked:
            echo(f"No checksum was published for {', '.join(unchecked)}.", err=True)
        layer = model.layers[-1] if model.layers else "LAYER"
        echo(f"Use it as: dreamopt render --net {model.name} --target {layer}:0", err=True)
