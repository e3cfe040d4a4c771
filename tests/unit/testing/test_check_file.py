"""`check_file` and ``dreamopt check``: each part of a file, each failure with its line, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dreamopt.cli import main
from dreamopt.errors import UsageError
from dreamopt.testing import check_file

GOOD = """
from dataclasses import dataclass
from typing import ClassVar

import torch
from dreamopt.engine import Elementwise
from dreamopt.engine.layer import Example
from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, Fields, Number, Penalty, at, regularizers, require_images


@regularizers.register
@dataclass(frozen=True)
class Bumps(Penalty):
    \"\"\"The mean fourth power.\"\"\"

    examples: ClassVar = ("bumps(0.5)",)
    weight: Number

    def __post_init__(self):
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE)

    def penalty(self, image, context):
        require_images(self, image)
        return at(self.weight, context) * image.pow(4).flatten(1).mean(1)


@dataclass(frozen=True)
class _Base(Penalty):
    weight: Number

    def penalty(self, image, context):
        return image.flatten(1).mean(1)


class Doubled(Elementwise):
    \"\"\"Twice its bottom.\"\"\"

    examples = (Example(),)

    def apply(self, x, weights):
        return 2 * x
"""
BAD = GOOD.replace("image.pow(4)", "(image - image.mean()).pow(4)")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


def written(folder: Path, text: str, name: str = "my_part.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_good_file(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    modules, search = set(sys.modules), list(sys.path)
    done = run(path)
    assert done.exit_code == 0, done.output
    assert [line.partition(": ")[2].partition(":")[0] for line in done.stdout.splitlines()] == ["Bumps (regularizers)", "Doubled (layers)"]
    assert f"{path}:12: Bumps" in done.stdout  # a class begins at its decorators
    assert not [name for name in set(sys.modules) - modules if "my_part" in name]
    assert sys.path == search
    assert run("--quiet", path).stdout == ""


def test_a_failing_check_says_what_and_where(tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    [bumps, doubled] = check_file(path)
    assert bumps.passed > 0
    assert bumps.failures
    assert not doubled.failures
    done = run("--json", path)
    assert done.exit_code == 1
    [first, _] = json.loads(done.stdout)
    assert {"class", "kind", "line", "passed", "failures"} == set(first)
    assert "Bumps" in first["failures"][0]["problem"]
    assert "Doubled" not in run("-q", path).stdout


def test_the_line_is_that_of_the_parts_own_code(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("image.pow(4)", "image.powers(4)"))
    line = path.read_text().splitlines().index("        return at(self.weight, context) * image.powers(4).flatten(1).mean(1)") + 1
    [bumps, _] = check_file(path)
    assert any(failure.line == line and "powers" in failure.problem for failure in bumps.failures)
    assert f"{path}:{line}: " in run(path).stdout


def test_one_class_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    assert run(path, "Doubled").exit_code == 0
    assert [checked.name for checked in check_file(path, ["_Base"])] == ["_Base"]
    with pytest.raises(UsageError, match=r"no part 'Doubld'.*Doubled"):
        check_file(path, ["Doubld"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "defines no part"),
        ("import nothing_of_this_name\n", "my_part.py:1: .*nothing_of_this_name"),
        ("a = 1\nb = (\n", "my_part.py:2: "),
        ("\n\nraise SystemExit(0)\n", "my_part.py:3: .*ends the program"),
    ],
)
def test_files_without_parts(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=words):
        check_file(path)
    assert run(path).exit_code == 2


def test_a_part_that_cannot_be_registered(tmp_path: Path) -> None:
    path = written(
        tmp_path, GOOD.replace("def penalty(self, image, context):\n        require", "def value(self, image, context):\n        require")
    )
    done = run(path)
    assert done.exit_code == 1
    assert f"{path}:12: Bumps must define penalty" in done.stderr


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        check_file(tmp_path / "absent.py")
    with pytest.raises(UsageError, match=r"\.py"):
        check_file(written(tmp_path, GOOD, "part.txt"))


def test_a_file_named_as_a_module_that_is_loaded(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, "json.py")
    assert [checked.name for checked in check_file(path)] == ["Bumps", "Doubled"]
    assert "dreamopt" not in (sys.modules["json"].__file__ or "")
    assert json.loads("1") == 1
