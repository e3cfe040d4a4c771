"""One line for what a person prints: `repr` of results."""

from __future__ import annotations

from dreamopt.errors import printable

LONGEST = 160
"""Characters of the line."""


def brief(name: str, about: object = "", *facts: object) -> str:
    r"""Return a line that names what something is, with what it is about and facts of it; longer ones lose their middle.

    >>> brief("Rendered", "conv2:3", "13 x 11", "value 7.2"), brief("Image", "", "3 x 4"), brief("Net", "a\nb")
    ('<Rendered conv2:3: 13 x 11, value 7.2>', '<Image: 3 x 4>', '<Net a\\nb>')
    """
    head = " ".join(filter(None, (name, str(about))))
    said = ", ".join(text for fact in facts if (text := str(fact)))
    return f"<{printable(head + (': ' if said else '') + said, LONGEST - 2)}>"


def counted(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "step"), counted(3, "step")
    ('1 step', '3 steps')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
