"""Running a plan from the command line: its progress, its files, and what is printed of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.sections import of_run

if TYPE_CHECKING:
    from dreamopt.image.files import RGBImage
    from dreamopt.network import Network
    from dreamopt.optimize import Callback
    from dreamopt.recipes import Plan, Rendered


def _memory(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    from dreamopt.parts.memory import parse_bytes

    return None if text is None else parse_bytes(text, "--memory")


force_option = of_run("--force", is_flag=True, help="Replace what is there; without it, an output that is there is refused.")
JOB_OPTIONS = (
    of_run(
        "--checkpoint",
        "every",
        type=click.IntRange(min=0),
        metavar="STEPS",
        help="Write a checkpoint every N steps; 0: never.  [default: every 30 s]",
    ),
    of_run("--resume", is_flag=True, help="Resume an interrupted job, with the same options."),
    force_option,
    of_run(
        "--memory",
        callback=_memory,
        metavar="SIZE",
        help="The most that the program may take, as 1.2GB: larger images are computed in tiles.  [default: what is free]",
    ),
    of_run("--preview", metavar="FILE.png", help="Show the image as it grows: written every few seconds."),
    of_run("-q", "--quiet", is_flag=True, help="No progress and no notes."),
    of_run("--json", "as_json", is_flag=True, help="Print the results as JSON instead of their paths."),
)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `run_job` takes, and ``--json``."""
    for option in reversed(JOB_OPTIONS):
        command = option(command)
    return command


def run_job(
    plan: "Plan",
    network: "Network",
    out: str,
    *,
    quiet: bool,
    every: int | None,
    resume: bool,
    force: bool,
    memory: int | None = None,
    preview: str | None = None,
    sheet: "Callable[[Sequence[Rendered]], RGBImage] | None" = None,
    timed: bool = False,
) -> tuple[list["Rendered"], Path | None]:
    """Run a plan into its files with progress, Ctrl-C and checkpoints; return its images, and the path of the sheet if there is one."""
    from dreamopt.cli.interrupt import interruptible
    from dreamopt.progress.rendering import rendering
    from dreamopt.recipes.preview import Preview
    from dreamopt.recipes.render import run_plan
    from dreamopt.recipes.store import FolderStore

    shown = [] if preview is None else [Preview(preview, network, plan.settings.channels)]
    # With --resume, 0 is no reason to lose what is under way.
    seconds = 30.0 if (every != 0 or resume) and not every else None
    title = network_title(network, plan.provenance["source"])
    with (
        FolderStore(out, every=every or None, seconds=seconds, resume=resume, replace=force, title=title, sheet=sheet) as store,
        interruptible() as stop,
        rendering(not quiet, len(plan.samples), plan.total_steps, plan.pixel_steps) as report,
    ):
        callbacks: list[Callback] = [*report.callbacks, *shown]
        rendered = run_plan(plan, network, store=store, callbacks=callbacks, stop=stop, memory=memory, tile=report.tile, timed=timed)
        if not rendered:
            raise KeyboardInterrupt
        return rendered, store.finish(rendered)


def print_paths(rendered: Sequence["Rendered"], sheet: Path | None = None) -> None:
    """Print the paths of images, and of their sheet."""
    for path in [*(one.path for one in rendered if one.path is not None), *([] if sheet is None else [sheet])]:
        echo_path(path)


def print_job(
    count: int, rendered: Sequence["Rendered"], sheet: Path | None, as_json: bool, resumable: bool, printed: bool = False
) -> None:
    """Print a job's files, or its results as JSON, and what is to be said of them; exit with 130 where it was interrupted.

    Parameters
    ----------
    count : int
        How many images were asked for.
    rendered, sheet
        What was made.
    as_json : bool
        Whether JSON is printed.
    resumable : bool
        Whether an interrupted job can be resumed.
    printed : bool
        Whether the paths have been printed.
    """
    if as_json:
        results = [_json(one) for one in rendered]
        echo_json({"pictures": results, "sheet": None if sheet is None else str(sheet)})
    elif not printed:
        print_paths(rendered, sheet)
    for one in rendered:
        if one.dead is not None:
            echo(f"dreamopt: warning: {one.sample.text} was not optimized: its gradient is zero at the start: {one.dead}", err=True)
        for what in ("stopped", "setback", "warning"):
            if one.metadata.get(what):
                echo(f"dreamopt: warning: {one.sample.text}: {one.metadata[what]}", err=True)
    interrupted = any(one.interrupted for one in rendered) or len(rendered) < count
    if interrupted:
        more = " --resume goes on." if resumable else ""
        echo(f"dreamopt: interrupted; {len(rendered)} of {count} images written, the best so far.{more}", err=True)
        click.get_current_context().exit(130)


def _json(rendered: "Rendered") -> dict[str, Any]:
    from dreamopt.image.channels import channels_path

    paths = {"path": str(rendered.path)}
    if rendered.path is not None and "channels_file" in rendered.metadata:
        paths["channels_path"] = str(channels_path(rendered.path))
    return paths | dict(rendered.metadata)


def network_title(network: "Network", source: Mapping[str, Any]) -> str:
    """Return what a sheet says above its images: the name by which the net was chosen, or of a file the name that it gives its net."""
    named = str(source["net"])
    return named if named != source["prototxt"] else network.backend.net_name or Path(named).stem
