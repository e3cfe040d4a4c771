"""Nets whose ReLUs stop gradients, and the rule of redirected ReLUs upon them in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamopt.engine import Net

Array = NDArray[np.float64]
WIDTH = 7
BATCH = 6
SLOPE = 0.25


@dataclass(frozen=True)
class Op:
    """A layer: what it is called, its type, what it reads, and the blob that it writes (its name's by default)."""

    name: str
    type: str
    reads: tuple[str, ...]
    blob: str = ""
    options: str = ""

    @property
    def top(self) -> str:
        return self.blob or self.name


@dataclass(frozen=True)
class Case:
    """A net of such layers, what is asked of it, and the highest of its biases."""

    name: str
    ops: tuple[Op, ...]
    wanted: tuple[str, ...]
    bias: float = -2

    def prototxt(self) -> str:
        lines = [f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {BATCH} dim: {WIDTH} }} }} }}']
        for op in self.ops:
            bottoms = " ".join(f'bottom: "{read}"' for read in op.reads)
            more = f"inner_product_param {{ num_output: {WIDTH} }}" if op.type == "InnerProduct" else op.options
            lines.append(f'layer {{ name: "{op.name}" type: "{op.type}" {bottoms} top: "{op.top}" {more} }}')
        return "\n".join(lines)


def _fc(name: str, read: str) -> Op:
    return Op(name, "InnerProduct", (read,))


def _relu(name: str, read: str, blob: str = "", slope: float = 0) -> Op:
    return Op(name, "ReLU", (read,), blob, f"relu_param {{ negative_slope: {slope} }}" if slope else "")


CASES = [
    Case("chain", (_fc("a", "data"), _relu("ra", "a", "a"), _fc("b", "a"), _relu("rb", "b"), _fc("c", "rb")), ("c",)),
    Case("before_and_after", (_fc("a", "data"), _relu("ra", "a", "a"), _fc("b", "a"), _relu("rb", "b", "b")), ("a", "b", "rb")),
    Case("exactly_zero", (_fc("a", "data"), _relu("ra", "a", "a"), _fc("b", "a"), _relu("rb", "b", "b")), ("rb",), bias=0),
    Case("shared_blob", (_fc("a", "data"), _relu("r1", "a"), _relu("r2", "a"), Op("sum", "Eltwise", ("r1", "r2"))), ("sum",)),
    Case(
        "branches",
        (
            _fc("a", "data"),
            _relu("ra", "a", "a"),
            _fc("left", "a"),
            _relu("rl", "left", "left"),
            _fc("right", "a"),
            _relu("rr", "right", "right"),
            Op("sum", "Eltwise", ("left", "right", "a")),
            _relu("rs", "sum", "sum"),
            _fc("top", "sum"),
        ),
        ("top", "rl"),
    ),
    Case("slope", (_fc("a", "data"), _relu("ra", "a", "a", SLOPE), _fc("b", "a"), _relu("rb", "b", "b"), _fc("c", "b")), ("c",)),
    Case(
        "clip",
        (_fc("a", "data"), Op("ra", "Clip", ("a",), "", "clip_param { min: 0 max: 6 }"), _fc("b", "ra"), _relu("rb", "b", "b")),
        ("rb",),
    ),
    Case("relu6", (_fc("a", "data"), Op("ra", "ReLU6", ("a",), "a"), _fc("b", "a"), _relu("rb", "b", "b")), ("rb",)),
]


def weights(case: Case) -> dict[str, tuple[Array, Array]]:
    """Draw weights, and biases that kill most units of small items."""
    random = np.random.default_rng(len(case.ops))
    drawn = {}
    for op in case.ops:
        if op.type == "InnerProduct":
            matrix, bias = random.normal(size=(WIDTH, WIDTH)), case.bias * (1 + random.random(WIDTH))
            drawn[op.name] = (matrix.astype(np.float32).astype(np.float64), bias.astype(np.float32).astype(np.float64))
    return drawn


def made(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write a net and its weights."""
    path, stored = folder / f"{case.name}.prototxt", folder / f"{case.name}.caffemodel"
    path.write_text(case.prototxt())
    net = Net(path)
    for name, drawn in weights(case).items():
        for blob, values in zip(net.params[name], drawn, strict=True):
            blob.data[...] = values
    net.save(stored)
    return path, stored


def inputs(case: Case) -> Array:
    """Draw items of rising size: the first, all zeros, is dead nearly everywhere, the last nearly nowhere."""
    x = np.random.default_rng(3).normal(size=(BATCH, WIDTH)) * np.array([0.0, 0.3, 1.0, 2.0, 4.0, 9.0])[:, None]
    return x.astype(np.float32).astype(np.float64)


def asked(layer: int) -> Array:
    """What is asked of a wanted layer: another weight for each of its values."""
    return np.cos(1.0 + layer + np.arange(BATCH * WIDTH)).reshape(BATCH, WIDTH)


def bounds(op: Op) -> tuple[float, float] | None:
    """Return between which values a layer lets a gradient through; None for layers that are not redirected."""
    if op.type in ("ReLU6", "Clip"):
        return 0.0, 6.0
    return (0.0, np.inf) if op.type == "ReLU" and "slope" not in op.options else None


def forward(case: Case, x: Array) -> tuple[dict[str, Array], list[list[str]]]:
    """Return the value that each layer writes, by layer, and which layers' values each layer reads."""
    drawn, values, last, reads = weights(case), {"data": x}, {"data": "data"}, []
    for op in case.ops:
        reads.append([last[read] for read in op.reads])
        xs = [values[name] for name in reads[-1]]
        if op.type == "InnerProduct":
            values[op.name] = xs[0] @ drawn[op.name][0].T + drawn[op.name][1]
        elif op.type == "Eltwise":
            values[op.name] = np.sum(xs, axis=0)
        else:
            gate = bounds(op)
            values[op.name] = np.where(xs[0] > 0, xs[0], SLOPE * xs[0]) if gate is None else np.clip(xs[0], *gate)
        last[op.top] = op.name
    return values, reads


def gradient(case: Case, x: Array, rule: bool = True) -> tuple[Array, dict[str, list[bool]]]:
    """Return the gradient at the input of what is maximised, and for which items each layer was redirected."""
    drawn = weights(case)
    values, reads = forward(case, x)
    sums = {name: np.zeros_like(x) for name in values}
    for i, name in enumerate(case.wanted):
        sums[name] = asked(i)
    acted: dict[str, list[bool]] = {}
    for op, read in zip(reversed(case.ops), reversed(reads), strict=True):
        g = sums[op.name]
        if op.type == "InnerProduct":
            sums[read[0]] = sums[read[0]] + g @ drawn[op.name][0]
        elif op.type == "Eltwise":
            for name in read:
                sums[name] = sums[name] + g
        else:
            sums[read[0]] = sums[read[0]] + _back(op, values[read[0]], g, rule, acted)
    return sums["data"], acted


def _back(op: Op, x: Array, g: Array, rule: bool, acted: dict[str, list[bool]]) -> Array:
    gate = bounds(op)
    if gate is None:
        return np.where(x > 0, g, SLOPE * g)
    low, high = gate
    inside = (x >= low) & (x <= high) if op.type == "Clip" else (x > low) & (x < high)
    passed = np.where(inside, g, 0.0)
    if not rule:
        return passed
    acted[op.name] = []
    for i in range(len(x)):
        dead = not passed[i].any()
        if dead:
            for j in range(x.shape[1]):
                pushed_down, pushed_up = x[i, j] < low and g[i, j] < 0, x[i, j] > high and g[i, j] > 0
                passed[i, j] = 0.0 if pushed_down or pushed_up else g[i, j]
        acted[op.name].append(bool(dead and passed[i].any()))
    return passed
