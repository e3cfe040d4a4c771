"""What the command line prints: texts from outside are escaped, everywhere."""

import ast
import os
from pathlib import Path

import pytest

import dreamopt.cli
from dreamopt.cli.echo import echo, echo_path, printable_lines

CLI = Path(dreamopt.cli.__file__).parent
OWN_WORDS = ("echo.py", "app.py", "interrupt.py")  # these print numbers and what is escaped already


def test_lines_are_one_line_each(capfd: pytest.CaptureFixture[str]) -> None:
    echo("conv\x1b[2J\nnext\u202e")
    echo(7, err=True)
    assert capfd.readouterr() == ("conv\\x1b[2J\\nnext\\u202e\n", "7\n")
    assert printable_lines("a\tb\n\x1bc") == "a       b\n\\x1bc"


def test_paths_go_into_a_pipe_byte_for_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = os.fsdecode(b"caf\xe9\n.png")
    echo_path(path)
    assert capfdbinary.readouterr().out == b"caf\xe9\n.png\n"


def test_a_path_without_a_stdout_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # as Python has it where the command's was closed: dreamopt ... >&-
    echo_path("cat.png")
    echo("cat.png")


def test_paths_are_escaped_on_a_terminal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    echo_path(os.fsdecode(b"caf\xe9\x1b.png"))
    assert capfd.readouterr().out == "caf\\xe9\\x1b.png\n"


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.name)
def test_nothing_is_printed_by_another_way(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("print", "click.secho") or called.endswith((".write", ".log")):
            wrong.append(f"line {node.lineno}: {called}")
        if called == "click.echo" and path.name not in OWN_WORDS and not isinstance(node.args[0], ast.Constant):
            wrong.append(f"line {node.lineno}: {called} of what is no constant; use dreamopt.cli.echo")
        if called.endswith(".add_row") and [ast.unparse(arg)[:10] for arg in node.args] != ["*map(cell,"]:
            wrong.append(f"line {node.lineno}: a row whose texts are not made by cell")
    assert not wrong, f"{path.name}: {'; '.join(wrong)}"
