"""The tables of layer types in docs/layers.md, from the classes: what each computes, whose type it is, where it says or does more."""

from __future__ import annotations

import inspect
from pathlib import Path

from dreamopt.engine.layer import Layer
from dreamopt.testing.layers import built_in_layers

ROOT = Path(__file__).resolve().parents[1]


def layer_table(of_forks: bool, folder: Path) -> str:
    """Return the table of Caffe's layer types, or of those that its forks have, in Markdown; links are relative to the page's folder."""
    heads = [
        "type",
        *(["of"] if of_forks else []),
        "what it computes",
        f"where dreamopt says or does more{'' if of_forks else ' than Caffe'}",
    ]
    parts = sorted(built_in_layers(), key=lambda part: part.__name__.lower())
    rows = [_row(part, folder) for part in parts if bool(_own(part, "fork")) == of_forks]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def _row(part: type[Layer], folder: Path) -> list[str]:
    file = Path(inspect.getfile(part))
    link = Path("..") / file.relative_to(ROOT) if folder != ROOT else file.relative_to(ROOT)
    fork = [_own(part, "fork")] if _own(part, "fork") else []
    return [f"[{part.__name__}]({link})", *fork, _sentence(part), _own(part, "differs")]


def _own(part: type[Layer], attribute: str) -> str:
    """Return what the class says itself, not what it inherits."""
    text: str = vars(part).get(attribute, "")
    return text


def _sentence(part: type[Layer]) -> str:
    """Return the docstring's first line; the heading says already what Caffe does not have."""
    line = inspect.cleandoc(part.__doc__ or "").partition("\n")[0]
    return line.removesuffix(" Not in Caffe 1.0.").removesuffix(".").replace("|", "\\|")
