"""Formulas as MathML, which browsers show by themselves: the site needs neither a script nor a network for them."""

from __future__ import annotations

import re
from typing import Any

from dreamopt.errors import UsageError

_WRITTEN = {
    r"\Bigl\vert": r"\Bigl|",
    r"\Bigr\vert": r"\Bigr|",
    r"\arg\min": r"\operatorname{arg\,min}",
    r"\arg\max": r"\operatorname{arg\,max}",
}
"""Commands of TeX that latex2mathml does not know, and what says the same."""


def mathml(text: str, block: bool = False) -> str:
    r"""Return a formula as MathML.

    Parameters
    ----------
    text : str
        TeX, without dollars.
    block : bool
        Whether it stands on a line of its own.

    Raises
    ------
    UsageError
        For a command that is not known.

    Examples
    --------
    >>> mathml(r"\alpha")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>&#x003B1;</mi></mrow></math>'
    """
    from latex2mathml.converter import convert

    formula = " ".join(text.split())
    for command, same in _WRITTEN.items():
        formula = formula.replace(command, same)
    if re.search(r"\\text\w*\{[^}]*[<>&]", formula):  # which latex2mathml would write as it is
        raise UsageError(f"the formula {formula!r} has <, > or & in a text")
    try:
        made = convert(formula, display="block" if block else "inline")
    except Exception as problem:  # its errors have no base class of their own
        raise UsageError(f"the formula {formula!r} cannot be shown: {type(problem).__name__}") from problem
    unknown = re.search(r"\\\w*", made)
    if unknown is not None:
        raise UsageError(f"the formula {formula!r} has {unknown[0]}, which latex2mathml does not know")
    return made


def visit_inline(writer: Any, node: Any) -> None:
    """Write a formula in a line, for Sphinx."""
    from docutils.nodes import SkipNode

    writer.body.append(_checked(node, block=False))
    raise SkipNode


def visit_block(writer: Any, node: Any) -> None:
    """Write a formula on a line of its own, for Sphinx; a wide one scrolls by itself."""
    from docutils.nodes import SkipNode

    writer.body.append(f'<div class="formula" tabindex="0">{_checked(node, block=True)}</div>\n')
    raise SkipNode


def _checked(node: Any, block: bool) -> str:
    """Return the formula; one that cannot be shown is a warning of Sphinx, and stays as it is written."""
    from html import escape

    from sphinx.util import logging

    try:
        return mathml(node.astext(), block)
    except UsageError as problem:
        logging.getLogger(__name__).warning("%s", problem, location=node)
        return f"<code>{escape(node.astext())}</code>"
