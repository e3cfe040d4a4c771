"""The tables of docs/options.md: every option and argument of every command, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from dreamopt.cli.app import cli

_SHARED = 4
"""Commands that have an option word for word, from which on it stands once for all of them."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, as ``models get``; groups that do something by themselves too."""
    yield from _below("", cli)


def _below(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        full = f"{name} {word}".strip()
        yield full, command
        if isinstance(command, click.Group):
            yield from _below(full, command)


def row(parameter: click.Parameter, command: click.Command) -> str:
    """Return an option's row: how it is written, what it does, what it is without being named."""
    context = click.Context(command)
    if isinstance(parameter, click.Argument):
        return f"| `{parameter.make_metavar(context)}` | An argument. |  |"
    record = parameter.get_help_record(context)  # as --help says it, default included
    name, text = record if record is not None else (", ".join(parameter.opts), "not shown by --help")
    name, text = name.replace("|", r"\|"), text.replace("]  [", "; ").replace("] [", "; ")
    default = re.search(r"\s*\[(?:default: (.*?))?((?:; )?required)?\]$", text)
    shown = "" if default is None else _plain(default[1] or "required")
    return f"| `{name}` | {_plain(text if default is None else text[: default.start()])} | {shown} |"


def option_tables() -> str:
    """Return all tables, in Markdown: what several commands share first, then command by command."""
    rows = {name: [row(one, command) for one in command.params] for name, command in commands()}
    of: dict[str, list[str]] = {}
    for name, lines in rows.items():
        for line in lines:
            of.setdefault(line, []).append(name)
    shared = {line: names for line, names in of.items() if len(names) >= _SHARED}
    head = "| option | what it does | by default |"
    text = f"## Shared\n\n{head} of |\n| --- | --- | --- | --- |\n"
    text += "".join(f"{line} {', '.join(f'`{name}`' for name in names)} |\n" for line, names in shared.items())
    for name, command in commands():
        own = [line for line in rows[name] if line not in shared]
        text += f"\n## `dreamopt {name}`\n\n{_plain((command.help or '').partition(chr(10) * 2)[0])}\n"
        text += f"\n{head}\n| --- | --- | --- |\n" + "".join(f"{line}\n" for line in own) if own else ""
    return text.rstrip("\n")


def _plain(text: str) -> str:
    """Return a text of a command's help in Markdown, in which nothing but literals is markup."""
    line = " ".join(text.replace("\b", "").split())
    pieces = re.split(r"(`[^`]*`)", line)
    return "".join(one.replace("|", r"\|") if one.startswith("`") else re.sub(r"([*_|<\[\]])", r"\\\1", one) for one in pieces)
