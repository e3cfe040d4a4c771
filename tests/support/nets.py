"""Prototxt of small nets, put together layer by layer: the one builder of all tests."""

from __future__ import annotations

from collections.abc import Sequence

PYTHON_LAYERS = "tests.support.python_layers"
"""The module of the Python layers that tests use."""


def layer(name: str, type_: str, bottoms: str = "", tops: str | None = None, *, down: str = "", more: str = "") -> str:
    """Return a layer's text.

    Parameters
    ----------
    name, type_ : str
        As in the file.
    bottoms, tops : str
        Names of blobs with spaces between; by default one top of the layer's name, "" for none.
    down : str
        A letter for each bottom, t or f, for its ``propagate_down``.
    more : str
        Whatever else stands in the layer.
    """
    ends = [f'bottom: "{blob}"' for blob in bottoms.split()]
    ends += [f'top: "{blob}"' for blob in (name if tops is None else tops).split()]
    ends += [f"propagate_down: {'true' if letter == 't' else 'false'}" for letter in down]
    return f'layer {{ name: "{name}" type: "{type_}" {" ".join(ends)} {more} }}\n'


def image_input(name: str = "data", shape: Sequence[int] = (2, 3, 5, 4)) -> str:
    """Return an Input layer whose top has this shape, (N, ...)."""
    return layer(name, "Input", more=f"input_param {{ shape {{ {' '.join(f'dim: {side}' for side in shape)} }} }}")


def conv(name: str, bottom: str, outputs: int, params: str = "kernel_size: 1", relu: bool = False) -> str:
    """Return a Convolution with Xavier weights and random biases, and a ReLU in place on it if asked for."""
    fillers = 'weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 0.3 }'
    text = layer(name, "Convolution", bottom, more=f"convolution_param {{ num_output: {outputs} {params} {fillers} }}")
    return text + (layer(f"{name}_relu", "ReLU", name, name) if relu else "")


def python_layer(
    name: str,
    class_: str,
    bottoms: str = "",
    tops: str | None = None,
    param_str: str | None = None,
    *,
    down: str = "",
    more: str = "",
    module: str = PYTHON_LAYERS,
) -> str:
    """Return a Python layer of a class of `tests.support.python_layers`, or of another module."""
    text = "" if param_str is None else f'param_str: "{param_str}"'
    inner = f'python_param {{ module: "{module}" layer: "{class_}" {text} }}'
    return layer(name, "Python", bottoms, tops, down=down, more=f"{more} {inner}")


def relu(name: str, blob: str, params: str = "") -> str:
    """Return a ReLU that works in place on a blob."""
    return layer(name, "ReLU", blob, blob, more=params)
