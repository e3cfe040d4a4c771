"""Commands that a study writes down."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

_OF_USER = ("net", "weights", "labels", "mean")
_PROGRAMS = ("backend", "python")


def replay_command(image: str, load: Mapping[str, Any]) -> str:
    """Return the command that makes an image again.

    Parameters
    ----------
    image : str
        Its path.
    load : mapping
        What loads its net, as of `dreamopt.study.request.StudyNet`. Files and programs are said, since an image's metadata may not
        choose them.

    Examples
    --------
    >>> replay_command("images/1f.png", {"net": "my nets/deploy.prototxt", "weights": "my.caffemodel", "device": "cpu"})
    "dreamopt replay images/1f.png --net 'my nets/deploy.prototxt' --weights my.caffemodel"
    >>> replay_command("images/1f.png", {"net": "tiny"})
    'dreamopt replay images/1f.png'
    """
    words = ["dreamopt", "replay", f"./{image}" if image.startswith("-") else image]
    for name in _OF_USER:
        value = load.get(name)
        if isinstance(value, str) and (name in ("weights", "labels") or _is_path(value)):
            words += [f"--{name}", value]
    for name in _PROGRAMS:
        value = load.get(name)
        if isinstance(value, str) and value not in ("auto", "engine"):
            words += [f"--{name}", value]
    return shlex.join(words)


def _is_path(text: str) -> bool:
    """Return whether a text is no name of the catalogue and no number, but a path."""
    return os.sep in text or "." in text.rpartition(os.sep)[2].lstrip("0123456789.,-+") or os.path.exists(text)
