"""The questions of docs/questions.md: the answer in dreamopt and the program for pycaffe give the same numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.old_programs import ROOT, run
from tests.support.oracle.harness import relative_error

PAGE = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])


def block(section: str, language: str) -> str:
    [code] = re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)
    return str(code)


def program(section: str) -> Path:
    [name] = re.findall(r"\(\.\./(tests/programs/question_\w+\.py)\)", section)
    return ROOT / name


def test_there_are_six_and_all_programs_are_theirs() -> None:
    assert len(SECTIONS) == 6
    assert sorted(map(program, SECTIONS.values())) == sorted((ROOT / "tests" / "programs").glob("question_*.py"))


@pytest.mark.parametrize("title", SECTIONS)
def test_both_answers_are_the_same_numbers(title: str, tmp_path: Path) -> None:
    section = SECTIONS[title]
    path = program(section)
    assert block(section, "py") in path.read_text(encoding="utf-8"), f"{path.name} is not what the page says"
    answer: dict[str, Any] = {}
    exec(block(section, "python"), answer)
    found = run(path, tmp_path)
    assert found
    for name, expected in found.items():
        values = np.asarray(answer[name])
        assert values.shape == expected.shape, name
        assert np.abs(expected).max() > 0, name
        assert relative_error(values, expected) < 1e-4, name
