"""The option ``--threads``, of every command that computes."""

import click

from dreamopt.cli.sections import of_run
from dreamopt.parts.threads import take

_TAKEN = "dreamopt.threads"
HELP = "Threads of a pass.  [default: a core each, fewer while other programs want the cores]"


def take_threads(context: click.Context, _: click.Parameter, count: int | None) -> None:
    """Take so many threads in this command and the processes that it starts."""
    if count is not None:
        context.meta[_TAKEN] = count
        take(count)


def threads_taken(context: click.Context) -> int | None:
    """Return what ``--threads`` said, before or after the command's name; None where it said nothing."""
    count: int | None = context.meta.get(_TAKEN)
    return count


threads_option = of_run("--threads", type=click.IntRange(1, 1024), callback=take_threads, expose_value=False, help=HELP)
