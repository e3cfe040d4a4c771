"""``dreamopt bench``: which settings are best for a net."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dreamopt.cli.echo import echo, echo_json, echo_path
from dreamopt.cli.interrupt import interruptible
from dreamopt.cli.net import net_options
from dreamopt.cli.output import cell
from dreamopt.cli.render import size_option
from dreamopt.cli.sections import SectionedCommand, of_net, of_recipe, of_run, of_target
from dreamopt.cli.spelling import check_targets
from dreamopt.parts.net_words import NET_KEYS
from dreamopt.progress.studies import benching
from dreamopt.progress.terminal import console

if TYPE_CHECKING:
    from dreamopt.study.outcome import Outcome
    from dreamopt.study.request import Request
    from dreamopt.study.study import Study

BENCH_OPTIONS = (
    of_net("--net", "nets", multiple=True, metavar="PROTOTXT|NAME", help="Repeatable: the options below are those of each."),
    of_target(
        "-t", "--target", "targets", multiple=True, metavar="TARGET", help="Repeatable. Units to score on, as 'conv4:0-7', 'fc8:tabby cat'."
    ),
    of_target("--sample", type=click.IntRange(min=1), metavar="N", help="Instead: draw so many units, evenly over layers."),
    of_target(
        "--layers", multiple=True, metavar="PATTERN", help="Repeatable. Of which layers, as 'fire*'.  [default: the trunk, and the classes]"
    ),
    of_target("--tune-on", multiple=True, metavar="TARGET", help="Repeatable. Units to tune on.  [default: others of the same layers]"),
    of_recipe(
        "--vary",
        multiple=True,
        metavar="NAME=A,B|LOW..HIGH",
        help="Repeatable. A list makes contestants (lists multiply); a range is tuned.",
    ),
    of_recipe(
        "--tune", multiple=True, metavar="NAME[=A,B|LOW..HIGH]", help="Repeatable. What is tuned.  [default: the optimizer's step size]"
    ),
    of_recipe("--preset", metavar="NAME|FILE", help="What contestants begin with.  [default: default]"),
    of_recipe(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Repeatable. A setting of all contestants and of the reference."
    ),
    of_recipe("--reference", metavar="NAME|FILE", help="The preset that sets the targets, as it is.  [default: default]"),
    of_recipe("--budget", metavar="N|Nevals|Ns", help="Of each run, as 500evals or 30s.  [default: what the reference makes]"),
    of_recipe("--seeds", type=click.IntRange(min=1), help="Runs of each contestant on each unit.  [default: 3]"),
    of_recipe("--trials", type=click.IntRange(min=1), help="Of each contestant that is tuned; 1: as they are.  [default: 5]"),
    of_recipe("--tuning-seeds", type=click.IntRange(min=1), help="Runs of each trial on each tuning unit.  [default: 1]"),
    of_recipe("--search", type=click.Choice(["grid", "random", "sequential"]), help="How trials are chosen.  [default: grid]"),
    of_recipe("--race/--no-race", default=None, help="Stop contestants early, too, that are far behind.  [default: --no-race]"),
    of_recipe("--criterion", metavar="MEASURE", help="By which trials are chosen and a winner is named.  [default: held_out]"),
    of_recipe(
        "--measure", "measures", multiple=True, metavar="MEASURE", help="Repeatable. What is measured.  [default: all that there are]"
    ),
    of_target(
        "--also",
        nargs=3,
        multiple=True,
        metavar="NET WEIGHTS LABELS",
        help="Repeatable. Another net that images of classes are shown to; - for the catalogue's weights or labels.",
    ),
    of_recipe("--seed", type=click.IntRange(min=0), help="Of the study: units, orders, starts, transforms.  [default: 0]"),
    size_option("Pixels of the images.  [default: of the net's file]"),
    of_run("--title", help="Above the report."),
    of_run("-o", "--out", metavar="FOLDER", help="The study's folder.  [default: dreamopt-study]"),
    of_run("--processes", type=click.IntRange(min=1), help="That make runs.  [default: as many as are fastest, measured]"),
    of_run("--resume", is_flag=True, help="Go on with the study in the folder; one is there, or it is an error."),
    of_run("--plugin", "plugins", multiple=True, metavar="NAME", help="Repeatable. A plugin that the study file may name."),
    of_run("-q", "--quiet", is_flag=True, help="No progress and no notes."),
    of_run("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)


_OF_REPORTS = ("words", "out", "plugins", "quiet", "as_json")
"""What `dreamopt bench report` takes."""


def _options(command: Any) -> Any:
    for option in reversed(BENCH_OPTIONS):
        command = option(command)
    return command


@click.command("bench", cls=SectionedCommand)
@click.argument("words", nargs=-1, metavar="[STUDY.toml | report FOLDER...]")
@_options
@net_options
def command(words: tuple[str, ...], out: str | None, quiet: bool, as_json: bool, **options: Any) -> None:
    """Compare settings: which optimizer, step size, preset, or any other setting is best for a net.

    Contestants are tuned alike on some units of the net and scored on others, with the same starts and transforms for all. The folder
    gets a report, images, and the winner as a preset. What is done stays: the same command goes on after Ctrl-C or a crash.

    `dreamopt bench report FOLDER` makes the report of a study again from its rows, without the net; rows of several folders are brought
    together in the folder of -o.
    """
    context = click.get_current_context()
    if words[:1] == ("report",):
        others = [name for name in context.params if name not in _OF_REPORTS and _is_given(context, name)]
        if others:
            raise click.UsageError(f"bench report makes a report of rows alone, and takes no --{others[0].replace('_', '-')}.")
        _report(words[1:], out, options["plugins"], as_json, quiet)
        return
    if len(words) > 1:
        raise click.UsageError(f"one study file is read, and {words[1]!r} is given, too.")
    if not words and len(options["nets"]) <= 1:
        check_targets([*options["targets"], *options["tune_on"]], next(iter(options["nets"]), None), options)
    from dreamopt.study.bench import FOLDER, run_study
    from dreamopt.study.words.resolve import resolve
    from dreamopt.study.words.write import study_text

    folder = FOLDER if out is None else out
    _check_folder(folder, options["resume"])
    allow: bool = options["allow_python_layers"]
    said = _said(words[0] if words else None, options)
    resolved = resolve(said, allow)
    if not quiet:
        for line in _plan(resolved.request):
            echo(line, err=True)
    say = None if quiet else lambda sentence: echo(f"dreamopt: {sentence}", err=True)
    with _interrupted(folder), interruptible("and what is done stays") as stop, benching(not quiet) as watch:
        study, outcome = run_study(
            resolved,
            folder,
            processes=options["processes"],
            allow_python_layers=allow,
            watch=watch,
            say=say,
            stop=stop,
            text=study_text(said, folder),
        )
    _finish(study, outcome, as_json, quiet)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _report(folders: Sequence[str], out: str | None, plugins: Sequence[str], as_json: bool, quiet: bool) -> None:
    """Make the report again from the rows of folders."""
    from dreamopt.study.schedule import outcome_of
    from dreamopt.study.study import Study

    if not folders:
        raise click.UsageError("say of which folder: dreamopt bench report FOLDER.")
    if len(folders) > 1 and out is None:
        raise click.UsageError("rows of several folders are brought together in a new one; say where: -o FOLDER.")
    study = Study.open(folders[0], plugins=plugins) if out is None else Study.merged(folders, out, plugins=plugins)
    _finish(study, outcome_of(study.request, study.rows), as_json, quiet)


def _said(study: str | None, options: dict[str, Any]) -> Any:
    """Return what the options say, and the study file where they say nothing."""
    from dreamopt.study.bench import with_given
    from dreamopt.study.words.said import Said, SaidNet
    from dreamopt.study.words.toml import read_study
    from dreamopt.study.words.values import read_varied

    said = Said() if study is None else read_study(study, options["plugins"])
    loads = {name: options.get(name) for name in NET_KEYS}
    given = {name: value for name, value in loads.items() if value not in (None, ()) and (name, value) not in _DEFAULTS}
    nets = tuple(SaidNet(net=net, options=given) for net in options["nets"])
    if not nets and given:
        said = replace(said, nets=tuple(replace(net, options={**net.options, **given}) for net in said.nets or (SaidNet(),)))
    own = {name: options[name] for name in ("targets", "sample", "layers", "tune_on", "size")}
    plain = ("preset", "assignments", "reference", "budget", "seeds", "trials", "tuning_seeds", "search", "race", "criterion", "measures")
    also = tuple(
        SaidNet(net=net, options={name: path for name, path in (("weights", weights), ("labels", labels)) if path != "-"})
        for net, weights, labels in options["also"]
    )
    words = {name: options[name] for name in (*plain, "seed", "title")} | {
        "vary": tuple(read_varied(text, "--vary") for text in options["vary"]),
        "tune": tuple(read_varied(text, "--tune", bare=True) for text in options["tune"]),
        "also": also,
    }
    return with_given(said, nets, words, own)


def _check_folder(out: str, resume: bool) -> None:
    from dreamopt.errors import UsageError

    if resume and not os.path.exists(os.path.join(out, "study.json")):
        raise UsageError(f"there is nothing to resume in {out}")


def _plan(request: "Request") -> Iterator[str]:
    """Yield what will be run, a line each."""
    from dreamopt.study.schedule import plan_count
    from dreamopt.study.words.contestants import axes_words

    for net in request.nets:
        tuning = f"; tuned on {len(net.tuning_units)} others: {', '.join(net.tuning_units)}" if net.tuning_units else ""
        yield f"{net.name}, {net.size[1]} x {net.size[0]} pixels: {len(net.units)} units: {', '.join(net.units)}{tuning}"
    for one in request.contestants:
        yield f"  {one.name}: {axes_words(one.axes)}"
    most = plan_count(request)
    units = sum(len(net.units) for net in request.nets)
    tuned = sum(1 for one in request.contestants if one.axes)
    spent = (
        f"about {most * request.budget.amount:.0f} evaluations"
        if request.budget.kind == "evals"
        else f"{most * request.budget.amount:.0f} s"
    )
    yield (
        f"{len(request.contestants)} contestants x {units} units x {request.seeds} seeds"
        + (f", {tuned} of them tuned by {request.trials} trials ({request.search})" if tuned else ", as they are")
        + f": at most {most} runs of {request.budget}, {spent}"
    )


@contextlib.contextmanager
def _interrupted(out: str) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        echo(f"dreamopt: interrupted; the runs that are done are in {out}. The same command with --resume goes on.", err=True)
        click.get_current_context().exit(130)


def _finish(study: "Study", outcome: "Outcome | None", as_json: bool, quiet: bool) -> None:
    """Write the report, and print the verdict, a table and the paths."""
    from dreamopt.errors import UsageError

    path = None
    try:
        path = study.report()
    except UsageError as problem:
        if "pip install" not in str(problem):
            raise
        echo(f"dreamopt: warning: no report is written: {problem}", err=True)
    preset = study.folder / "winner.toml"
    if as_json:
        echo_json(
            {
                "winner": study.winner,
                "verdict": study.verdict,
                "report": None if path is None else str(path),
                "preset": str(preset) if preset.is_file() else None,
                "outcome": None if outcome is None else outcome.describe(),
                "seconds": round(sum(row.seconds for row in study.rows), 3),
                "evaluations": sum(row.evaluations for row in study.rows),
                "standings": [_plain(line) for line in _lines(study)],
            }
        )
        return
    echo(study.verdict)
    console().print(_table(study))
    if outcome is not None and not quiet:
        for line in _notes(outcome):
            echo(line, err=True)
    for one in (path, preset if preset.is_file() else None):
        if one is not None:
            echo_path(one)


def _lines(study: "Study") -> list[dict[str, Any]]:
    from dreamopt.study.report.table import standing_records

    return [dict(line) for line in standing_records(study.analysis)]


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line fit for JSON: infinite numbers as words, what is no number as null."""
    from dreamopt.statistics.numbers import json_number

    return {name: json_number(value) if isinstance(value, float) else value for name, value in line.items()}


def _table(study: "Study") -> Any:
    """Return a small table: a line for each contestant, the best first."""
    from rich.table import Table

    from dreamopt.study.report.numbers import number

    table = Table("contestant", study.request.criterion, "95 % interval", "rank", "failures", "tuned", box=None, pad_edge=False)
    for line in _lines(study):
        trial = ", ".join(
            f"{name.removeprefix('trial.')}={value}" for name, value in line.items() if name.startswith("trial.") and value is not None
        )
        interval = f"{number(line['low'])} .. {number(line['high'])}"
        rank = number(line["rank"])
        table.add_row(*map(cell, (line["contestant"], number(line["value"]), interval, rank, line["failures"], trial)))
    return table


def _notes(outcome: "Outcome") -> Iterator[str]:
    for end in outcome.at_end:
        yield f"dreamopt: note: {end} lies at the end of its range; a wider one may hold a better number"
    if outcome.runs_saved:
        saved = f"{outcome.runs_saved} runs, about {outcome.evaluations_saved} evaluations"
        yield f"dreamopt: {saved}, were saved: what was far behind was stopped"


_DEFAULTS = {("device", "auto"), ("backend", "auto")}
