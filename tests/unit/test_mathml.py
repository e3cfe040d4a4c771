"""Every formula of the documentation and of the docstrings becomes MathML, and one that does not is said."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dreamopt.errors import UsageError
from tests.support.documents import ROOT, documents
from tools.mathml import mathml

CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
IN_PAGES = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$([^$\n]+?)\$", re.DOTALL)
IN_DOCSTRINGS = re.compile(r":math:`([^`]+)`|^(?P<space> *)\.\. math:: *((?:.*\n)(?:\n*(?P=space) +\S.*\n)*)", re.MULTILINE)


def of_pages() -> set[str]:
    texts = (CODE.sub("", page.read_text(encoding="utf-8")) for page in documents())
    return {one or other for text in texts for one, other in IN_PAGES.findall(text)}


def of_docstrings() -> set[str]:
    files = (path for folder in ("dreamopt", "objectives", "regularizers") for path in Path(ROOT / folder).rglob("*.py"))
    return {line or block for path in files for line, _, block in IN_DOCSTRINGS.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(("texts", "least"), [(of_pages, 150), (of_docstrings, 80)])
def test_every_formula_can_be_shown(texts: object, least: int) -> None:
    assert callable(texts)
    found = texts()
    assert len(found) > least
    for formula in found:
        ElementTree.fromstring(mathml(formula, block=True))


def test_a_sum_has_its_bounds_and_its_terms() -> None:
    made = ElementTree.fromstring(mathml(r"\sum_{i=1}^{n} x_i^2"))
    assert "".join(made.itertext()) == "∑i=1nxi2"
    assert {element.tag.rpartition("}")[2] for element in made.iter()} >= {"math", "mi", "mn", "mo", "msubsup"}


@pytest.mark.parametrize("formula", [r"\nosuchcommand x", r"\frac{1}{", r"x_{", r"\text{<b>}"])
def test_a_formula_that_cannot_be_shown_is_said(formula: str) -> None:
    with pytest.raises(UsageError, match="the formula"):
        mathml(formula)


def test_what_is_no_markup_stays_text() -> None:
    assert "".join(ElementTree.fromstring(mathml("a < b")).itertext()) == "a<b"
