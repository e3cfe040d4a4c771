"""How much of anything is read or made at the most: one table, which the environment can change.

A file of a few bytes can ask for any amount of time and memory. Whoever really has a larger net sets ``DREAMOPT_MOST_LAYERS=50000``.
"""

from __future__ import annotations

import os

from dreamopt.errors import UsageError

LIMITS: dict[str, int | None] = {
    "layers": 20_000,  # ResNet-1001 and DenseNet-264 have a few thousand
    "blobs": 200_000,  # bottoms and tops of all layers together
    "inputs": 256,  # tops of layers that read nothing
    "tokens": 2_000_000,  # of a prototxt: names, numbers, strings, signs; ResNet-152 has 30,000
    "images": 20_000,  # of one job; all filters of AlexNet are 10,000
    "memory": None,  # bytes; None: what the machine has free
}
"""By name, the most that is allowed; ``DREAMOPT_MOST_<NAME>`` in the environment says another number."""

MOST_AXES = 32
"""Caffe's most axes of a blob."""
MOST_VALUES = 2**31 - 1
"""Caffe's most values of a blob, and the largest number that it counts to."""
MOST_WINDOW = 2**14
"""The most of a window's kernel, stride, pad and dilation; torch's convolutions crash from twice as many on."""


def variable(name: str) -> str:
    """Return the environment variable that changes a limit.

    >>> variable("layers")
    'DREAMOPT_MOST_LAYERS'
    """
    return f"DREAMOPT_MOST_{name.upper()}"


def limit(name: str) -> int | None:
    """Return the most that is allowed, as the environment or else the table says; None where there is no fixed limit.

    Raises
    ------
    UsageError
        If the environment says something else than a whole number.

    Examples
    --------
    >>> limit("layers")
    20000
    """
    text = os.environ.get(variable(name))
    if not text:
        return LIMITS[name]
    if not (text.isdecimal() and len(text) < 20):
        raise UsageError(f"{variable(name)} is {text!r} in the environment, but has to be a whole number")
    return int(text)


def exceeds(name: str, count: int) -> str:
    """Return a clause that says what is allowed and how to allow more, if ``count`` is above a limit; nothing otherwise.

    >>> exceeds("layers", 30_000), exceeds("layers", 3)
    ('at most 20000 are allowed, unless DREAMOPT_MOST_LAYERS says more', '')
    """
    most = limit(name)
    if most is None or count <= most:
        return ""
    return f"at most {most} are allowed, unless {variable(name)} says more"
