"""Printing lines, never so that a terminal obeys a text from outside.

Names of layers, labels, metadata, what a server says: each of them may hold escape sequences. All that the commands print goes through
`echo`, `echo_path` or `echo_json`, or is a table whose cells are made by `dreamopt.cli.output.cell`.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from dreamopt.errors import printable


def echo(line: object, err: bool = False) -> None:
    """Print one line; line ends and control characters in it are shown as in Python's literals."""
    click.echo(printable(line), err=err)


def echo_path(path: str | Path) -> None:
    """Print a path on a line of stdout; into a pipe or a file byte for byte, for not every path is UTF-8."""
    if sys.stdout is not None and sys.stdout.isatty():  # None: closed by who started the command
        echo(os.fsencode(path).decode("utf-8", "backslashreplace"))
    else:
        click.echo(os.fsencode(path))


def echo_json(value: Any) -> None:
    """Print a value as JSON, in ASCII."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def printable_lines(text: str) -> str:
    """Return a text of several lines with each made `printable`."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, as `sys.excepthook` does; an error's message may be a text from outside."""
    click.echo(printable_lines("".join(traceback.format_exception(kind, error, trace)).rstrip()), err=True)
