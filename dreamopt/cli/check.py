"""``dreamopt check``: the contract tests on parts of one's own."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from dreamopt.cli.echo import echo, echo_json
from dreamopt.cli.threads import threads_option
from dreamopt.progress.audience import is_terminal
from dreamopt.progress.terminal import console


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("classes", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what fails.")
@threads_option
@click.pass_context
def command(context: click.Context, file: Path, classes: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Check the parts that a FILE of yours defines, or only these CLASSES of it, by what dreamopt's own parts must pass.

    Objectives, regularizers, optimizers, schedules, transforms, parametrizations, measures, attribution methods and metrics, backward
    rules, layers, kinds of results of an atlas, a backend's open_net, and presets (a .toml file): gradients against finite differences,
    batches against single samples, strings, numbers out of range. A class says in `examples` what to try. A Python FILE is run: check only
    files that you trust.

    Exit code 1 if a check fails.
    """
    from dreamopt.testing.files import check_file

    with _progress(quiet or as_json) as progress:
        checked = check_file(file, classes, progress=progress)
    if as_json:
        echo_json(
            [
                {"class": part.name, "kind": part.kind, "line": part.line, "passed": part.passed}
                | {"failures": [{"check": f.check, "line": f.line, "problem": f.problem} for f in part.failures]}
                for part in checked
            ]
        )
    else:
        for part in checked:
            total = part.passed + len(part.failures)
            if part.failures or not quiet:
                echo(f"{file}:{part.line}: {part.name} ({part.kind}): {part.passed} of {total} checks passed")
            for failure in part.failures:
                echo(f"{file}:{failure.line}: {failure.problem}")
    if any(part.failures for part in checked):
        context.exit(1)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show on stderr, in a terminal, which check runs."""
    if quiet or not is_terminal():
        yield None
        return
    with console(stderr=True).status("checking") as status:
        yield lambda name, done, total: status.update(f"checking {name}: {done} of {total}")
