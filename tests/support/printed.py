"""Commands that the documents and the help print, found by themselves: whole ones, and options with an example of their value."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache

import click

from dreamopt.cli.app import COMMANDS
from tests.support.documents import ROOT, name_of, pages

PLACES = re.compile(r"\[?[A-Z][A-Z_]*(\.\.\.|\.\w+)?\]?(\.\.\.)?|\.\.\.|\[\w.*|.*\w\]|NxCxHxW|CxHxW|WxH|X,Y|.*\w\|\w.*|.*//\.\.\.")
"""Words that stand for what a user has: a form, and no example."""
VALUES = {"BGR", "RGB", "TRAIN", "TEST", "LRN"}
"""Words in capitals that are values."""


EXAMPLE = re.compile(r"(\w+='[^']+')|(?<![\w\"])'([^']+)'(?!\w)|\b[Aa]s ((?:[^\s;']+, )*[^\s;']+)")
"""What help shows as an example: a setting in quotes, what is in quotes, or what follows "as"."""


def commands() -> dict[str, list[str]]:
    """Return the commands of each page, without the word dreamopt; one that several pages print is the first one's."""
    found: dict[str, str] = {}
    for page, text in _texts().items():
        blocks, flow = _parted(text)
        for line in blocks:
            command = re.match(r"(?:\$ )?dreamopt (\S.*)", line)
            if command:  # two spaces and more come before a comment, or before what the command is for
                found.setdefault(command[1].partition("  ")[0].partition(" # ")[0].strip(), page)
        for span in _spans(flow):
            if span.startswith("dreamopt "):
                found.setdefault(span.removeprefix("dreamopt "), page)
    return _by_page({text: page for text, page in found.items() if len(_words(text)) > 1 and not is_form(text)})


def fragments() -> dict[str, list[str]]:
    """Return the options with a value that each page prints in its text, as ``--steps 20``, and those that a command's help shows."""
    known, found = options(), dict[str, str]()
    for page, text in _texts().items():
        for span in _spans(_parted(text)[1]):
            if span.startswith("-") and " " in span and span.split()[0] in known and not is_form(span):
                found.setdefault(span, page)
    for text, command in examples_of_help():
        found.setdefault(text, f"{command} --help")
    return _by_page(found)


def examples_of_help() -> Iterator[tuple[str, str]]:
    """Yield what the help of options shows as examples: what is in quotes, and what follows "as" and is no plain word."""
    for name, command in _commands().items():
        for option in command.params:
            text = re.sub(r"\[default.*?\]", "", getattr(option, "help", None) or "")
            for within, quoted, plain in EXAMPLE.findall(text):
                for value in [within or quoted] if within or quoted else plain.split(", "):
                    example = value.rstrip(".,:")
                    if (within or quoted or re.search(r"[\d=:_*]", example)) and not is_form(example):
                        yield f"{option.opts[0]} {shlex.quote(example)}", name


@cache
def options() -> dict[str, list[str]]:
    """Return the commands that have an option, by each of its names."""
    known: dict[str, list[str]] = {}
    for name, command in _commands().items():
        for option in command.params:
            for text in [*option.opts, *option.secondary_opts] if isinstance(option, click.Option) else ():
                known.setdefault(text, []).append(name)
    return known


def is_form(text: str) -> bool:
    """Return whether a text holds a word that stands for what a user has.

    >>> is_form("dream IMAGE -t LAYER -o out.png"), is_form("--channel-order BGR"), is_form("--vary NAME=A,B,C")
    (True, False, True)
    """
    pieces = [piece for word in _words(text) for piece in word.split("=")]
    return any(PLACES.fullmatch(piece.partition(":")[0]) and piece.partition(":")[0] not in VALUES for piece in pieces)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _texts() -> dict[str, str]:
    """Return the pages with the ends of lines taken out of commands; the table of options repeats the help."""
    read = {name_of(page): page.read_text(encoding="utf-8") for page in [*pages(), ROOT / "CHANGELOG.md"]}
    return {name: re.sub(r"\s*\\\n\s*", " ", text) for name, text in read.items() if name != "options.md"}


def _parted(text: str) -> tuple[list[str], str]:
    """Return the lines of a page's blocks of shell commands, and its running text."""
    lines: list[str] = []

    def take(block: re.Match[str]) -> str:
        lines.extend(block[2].splitlines() if block[1] in ("sh", "") else ())
        return ""

    flow = re.sub(r"^```(\w*)\n(.*?)^```", take, text, flags=re.MULTILINE | re.DOTALL)
    lines += [line.strip() for line in re.findall(r"^ {4}(.*)$", flow, re.MULTILINE)]
    return lines, re.sub(r"^ {4}.*$", "", flow, flags=re.MULTILINE)


def _spans(flow: str) -> list[str]:
    return [re.sub(r"\s+", " ", span[1].strip()) for span in re.findall(r"(?<!`)(``|`)((?:(?!\1).)+?)\1(?!`)", flow, re.DOTALL)]


def _by_page(found: dict[str, str]) -> dict[str, list[str]]:
    ordered: dict[str, list[str]] = {}
    for text, page in found.items():
        ordered.setdefault(page, []).append(text)
    return ordered


@cache
def _commands() -> dict[str, click.Command]:
    """Return all commands, those first whose options others share."""
    names = dict.fromkeys(("render", "dream", *sorted(COMMANDS)))
    return {name: importlib.import_module(f"dreamopt.cli.{name}").command for name in names}
