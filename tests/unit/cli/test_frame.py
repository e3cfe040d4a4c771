"""The frame of the command line: help without weight, errors as sentences, exit codes, streams."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import dreamopt
from dreamopt.cli import cli
from dreamopt.cli.app import COMMANDS, Commands
from dreamopt.errors import DreamoptWarning, ModelError, UsageError

ENV = os.environ | {"PYTHONPATH": str(Path(dreamopt.__file__).parents[1])}


def test_help_and_version_load_nothing_heavy() -> None:
    for words in (["--help"], ["--version"], ["render", "--help"], ["models", "--json"], ["inspect", "--help"]):
        code = f"""
import sys
from dreamopt.cli import cli
try:
    cli({words!r})
except SystemExit as end:
    assert end.code == 0
print([name for name in ("torch", "matplotlib", "scipy", "skimage", "caffe") if name in sys.modules], file=sys.stderr)
"""
        process = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
        assert process.stderr.strip() == "[]", words


def test_every_command_is_listed_with_its_help_and_can_be_loaded() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    for name in COMMANDS:
        assert name in shown
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0
    assert CliRunner().invoke(cli, ["dream-on"]).exit_code == 2
    assert dreamopt.__version__ in CliRunner().invoke(cli, ["--version"]).output


def failing(error: BaseException) -> Commands:
    group = Commands("test")

    @click.command("models")
    def command() -> None:
        raise error

    group.get_command = lambda ctx, name: command  # type: ignore[method-assign]
    return group


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ModelError("there is no such model."), 1, "dreamopt: error: there is no such model.\n"),
        (UsageError("steps must be at least 1."), 2, "dreamopt: error: steps must be at least 1.\n"),
        (KeyboardInterrupt(), 130, "dreamopt: interrupted.\n"),
    ],
)
def test_errors_are_sentences_on_stderr(error, code, words) -> None:
    result = CliRunner().invoke(failing(error), ["models"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == words
    assert "Traceback" not in result.stderr


def test_warnings_are_sentences_on_stderr() -> None:
    import warnings

    group = Commands("test")

    @click.command("models")
    def command() -> None:
        for _ in range(2):
            warnings.warn("the weights are random", DreamoptWarning, stacklevel=1)
        click.echo("result")

    group.get_command = lambda ctx, name: command  # type: ignore[method-assign]
    result = CliRunner().invoke(group, ["models"])
    assert result.stdout == "result\n"
    assert result.stderr == "dreamopt: warning: the weights are random\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    words = f"{sys.executable} -m dreamopt models --json | head -c 10"
    process = subprocess.run(words, shell=True, env=ENV, capture_output=True, text=True, check=True)
    assert len(process.stdout) == 10
    assert process.stderr == ""


@pytest.mark.parametrize("digits", ["1" + "0" * 5000, "0" * 5000 + "1", "32x" + "9" * 5000])
def test_sizes_of_thousands_of_digits_are_refused_by_a_sentence(digits: str) -> None:
    for words in (["render", "-t", "scores:0", f"--size={digits}"], ["inspect", f"--input-shape=3x{digits}"]):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 2, result.exception
        assert "is neither a number of pixels nor WIDTHxHEIGHT" in result.output or "is no shape; give CxHxW" in result.output
