"""A net, some passes over it, and real Caffe's numbers after the same passes: every blob, diff and weight's diff.

Everything is held to `TOLERANCE`. That is possible because the numbers drawn are such that float32 can decide them:
the same net in float64 has to agree far better than that, and no value may lie within rounding of a kink (`kinks.py`).
Otherwise others are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.support.oracle.apart import pull_apart
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Array, Oracle
from tests.support.oracle.kinks import near_a_kink

DRAWS = 12
AGREES = 2e-6
"""How well float32 and float64 have to agree for numbers to be compared."""
WHOLE = ("whole", "cont_", "chosen", "given_")
"""What the names of inputs start with that have no gradient."""
FLOOR = 1e-3
"""An error is relative to the blob's norm, or to this part of the largest diff's: 1e-4 of that is what float32 resolves."""

Range = tuple[str | None, str | None]


class UndecidedError(Exception):
    """A net whose numbers float32 does not decide, whatever is drawn: one that takes differences of nearly equal numbers."""


@dataclass
class Case:
    """A net, and the layers from which to which it runs.

    Parameters
    ----------
    text : str
        The prototxt, one layer a line.
    phase : {"TEST", "TRAIN"}
        Caffe's phase.
    start, end : str, optional
        The first and the last layer of the passes.
    given : bool
        Whether Caffe makes the inputs' diffs.
    """

    text: str
    phase: str
    start: str | None
    end: str | None
    given: bool = True


@dataclass
class Numbers:
    """What a net is given."""

    weights: dict[str, list[Array]]
    inputs: dict[str, Array]
    seeds: dict[str, Array] = field(default_factory=dict)


@dataclass
class Found:
    """What a net computed: blobs' values and diffs, weights' diffs (``layer/i``)."""

    data: dict[str, Array]
    diffs: dict[str, Array]
    weight_diffs: dict[str, Array]

    def finite(self) -> bool:
        """Whether all of it is numbers."""
        return all(np.isfinite(a).all() for part in (self.data, self.diffs, self.weight_diffs) for a in part.values())


def compare_case(oracle: Oracle, case: Case, seed: int) -> None:
    """Run both, forward and backward; compare blobs, diffs, weights' diffs, and the data's gradient by program.

    Raises
    ------
    AssertionError
        Naming what differs.
    UndecidedError
        If nothing could be compared.
    """
    forwards: list[Range] = [(case.start, case.end)]
    back: Range = (case.end, case.start)
    net, numbers = _compare(oracle, case, seed, forwards, back)
    if case.start is None:
        _check_program(oracle, case, net, numbers, back)


def compare_ranges(oracle: Oracle, case: Case, seed: int) -> None:
    """Run the net, then a random range of its layers once more, forward and back, over what stands there.

    Raises
    ------
    AssertionError, UndecidedError
        As `compare_case`.
    """
    names = list(Net(parse_net(case.text, phase=case.phase)).layer_dict)
    first, last = (names[i] for i in sorted(np.random.default_rng(seed).integers(0, len(names), 2)))
    if '"HingeLoss"' in case.text:
        last = names[-1]  # it writes into its bottom's diff on the way forward, where a part of the net would find that
    _compare(oracle, case, seed, [(None, None), (first, last)], (last, first))


def _compare(oracle: Oracle, case: Case, seed: int, forwards: Sequence[Range], back: Range) -> tuple[Net, Numbers]:
    for draw in range(DRAWS):
        rng = np.random.default_rng([seed, draw])
        numbers = draw_numbers(case, rng, forwards, back)
        net, ours = run(case, numbers, forwards, back, watched=rng.random() < 0.5)
        double, exact = run(case, numbers, forwards, back, torch.float64)
        why = undecided(net, ours, double, exact)
        if not why:
            break
    else:
        raise UndecidedError(f"none of {DRAWS} draws is one that float32 decides: {why}")
    theirs = _theirs(oracle, case, numbers, forwards, back)
    touched = _touched(net, back)
    if not case.given:
        touched -= {top for layer, tops in net.top_names.items() if not net.bottom_names[layer] for top in tops}
    worst = max(differences(net, ours, theirs, exact, forwards[0][1], touched), key=lambda pair: pair[1], default=("", 0.0))
    note(f"random nets{'' if len(forwards) == 1 else ', ranges'}", worst[1])
    assert worst[1] <= TOLERANCE, f"{worst[0]} is off by {worst[1]:.1e} ({back[1]} to {back[0]})"
    return net, numbers


def make_net(case: Case) -> Net:
    """Make the net; constants (DummyData) are made by it, as Caffe does."""
    return Net(parse_net(case.text, phase=case.phase, keep=["DummyData"]))


def draw_numbers(case: Case, rng: np.random.Generator, forwards: Sequence[Range], back: Range) -> Numbers:
    """Draw weights, inputs and seeds."""
    net = Net(parse_net(case.text, phase=case.phase, keep=["DummyData"]), seed=int(rng.integers(2**31)))
    for name, blobs in net.params.items():
        for blob in blobs:
            if net.layer_dict[name].type == "BatchNorm":
                blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)
            elif not blob.data.any():
                blob.data[...] = rng.normal(0, 0.5, blob.shape)
    numbers = Numbers({k: [b.data.copy() for b in blobs] for k, blobs in net.params.items()}, {})
    numbers.inputs = {name: draw_input(name, net.blobs[name].shape, rng) for name in net.inputs}
    for name, x in numbers.inputs.items():
        net.blobs[name].data[...] = x
    if any(node.layer.shape_follows_data for node in net.nodes):
        net.forward()
    names = list(net.layer_dict)
    ran = names[: names.index(back[0]) + 1] if back[0] is not None else names
    tops = net.top_names[back[0]] if back[0] is not None else _ends(net, ran)
    numbers.seeds = {top: rng.normal(size=net.blobs[top].shape).astype(np.float32) for top in tops}
    return numbers


def draw_input(name: str, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Draw normal numbers; for an input named ``whole5_...`` whole ones below 5, for ``cont_...`` where sequences go on."""
    if name.startswith("whole"):
        return rng.integers(0, int(name[5:].split("_")[0]), shape).astype(np.float32)
    if name.startswith("chosen"):
        found = rng.integers(0, 2, shape).astype(np.float32)
        found[0] = 1
        return found
    if name.startswith("cont_"):
        found = rng.integers(0, 2, shape).astype(np.float32)
        found[0] = 0
        return found
    return rng.normal(size=shape).astype(np.float32)


def _ends(net: Net, ran: Sequence[str]) -> list[str]:
    """Return the blobs that the layers leave for nobody."""
    tops = [top for layer in ran for top in net.top_names[layer]]
    read = {b for layer in ran for b in net.bottom_names[layer] if b not in net.top_names[layer]}
    return sorted({top for top in tops if top not in read and top not in net.inputs})


@contextmanager
def _numbers_of(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def run(
    case: Case,
    numbers: Numbers,
    forwards: Sequence[Range],
    back: Range,
    dtype: torch.dtype = torch.float32,
    watched: bool = False,
) -> tuple[Net, Found]:
    """Run the engine; ``watched`` holds views of all blobs, so that values go through other memory.

    The engine's memory is of torch's default type, so that the very same net can compute in float64.
    """
    with _numbers_of(dtype):
        net = make_net(case)
        for name, blobs in net.params.items():
            for blob, value in zip(blobs, numbers.weights[name], strict=True):
                blob.data[...], blob.diff[...] = value, 0
        for name, x in numbers.inputs.items():
            net.blobs[name].data[...] = x
        held = [blob.data for blob in net.blobs.values()] if watched else []
        for start, end in forwards:
            net.forward(start=start, end=end)
        del held
        data = {name: blob.data.copy() for name, blob in net.blobs.items()}
        for top, seed in numbers.seeds.items():
            net.blobs[top].diff[...] = seed
        net.backward(start=back[0], end=back[1])
        diffs = {name: blob.diff.copy() for name, blob in net.blobs.items()}
        weight_diffs = {f"{k}/{i}": b.diff.copy() for k, blobs in net.params.items() for i, b in enumerate(blobs)}
    return net, Found(data, diffs, weight_diffs)


def undecided(net: Net, ours: Found, double: Net, exact: Found) -> str:
    """Say why float32 does not decide what a net's numbers give, or nothing; ``double`` is the net in float64."""
    if not (exact.finite() and ours.finite()):
        return "there are infinite values"
    with _numbers_of(torch.float64):
        kink = near_a_kink(net, double)
    if kink:
        return f"rounding decides in layer {kink}"
    what, error = max(differences(net, ours, exact, exact, None, set(net.blobs)), key=lambda pair: pair[1], default=("", 0.0))
    return f"float64 says something else: {what} is off by {error:.1e}" if error > AGREES else ""


def _touched(net: Net, back: Range) -> set[str]:
    """Return the blobs whose diffs a backward pass is about: some layers use the others' as scratch, or share them later."""
    names = list(net.layer_dict)
    start = len(names) - 1 if back[0] is None else names.index(back[0])
    ran = names[0 if back[1] is None else names.index(back[1]) : start + 1]
    return {blob for layer in ran for blob in (*net.bottom_names[layer], *net.top_names[layer])}


def differences(net: Net, ours: Found, theirs: Found, exact: Found, end: str | None, touched: set[str]) -> Iterator[tuple[str, float]]:
    """Yield the relative error in norm of each blob written, up to the layer ``end``, each diff touched and weight's diff."""
    names = list(net.layer_dict)
    written = {top for layer in names[: None if end is None else names.index(end) + 1] for top in net.top_names[layer]}
    skip = [name for name in theirs.diffs if name.startswith(WHOLE) or name not in touched]
    for name, expected in theirs.data.items():
        if name in written:
            yield f"blob {name}", off(ours.data[name], expected, 1e-30)
    size = max((float(np.linalg.norm(d)) for name, d in theirs.diffs.items() if name not in skip), default=0.0)
    for name, expected in theirs.diffs.items():
        if name not in skip:
            yield f"the diff of blob {name}", off(ours.diffs[name], expected, FLOOR * size)
    size = max([size, *(float(np.linalg.norm(d)) for d in theirs.weight_diffs.values())])
    for name, expected in theirs.weight_diffs.items():
        # It is a sum of hundreds of numbers; and what vanishes (a bias below BatchNorm) is the rounding of numbers not seen here.
        vanishes = float(np.linalg.norm(exact.weight_diffs[name])) < 1e-9 * size
        yield f"the diff of weight {name}", off(ours.weight_diffs[name], expected, (100 if vanishes else 10) * FLOOR * size)


def off(a: Array, b: Array, floor: float) -> float:
    """Return the error in norm, relative to ``b``'s or to ``floor``."""
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape} differ"
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), floor, 1e-30)) if a.size else 0.0


def _check_program(oracle: Oracle, case: Case, net: Net, numbers: Numbers, back: Range) -> None:
    """Compare the data's derivative by program with Caffe's, in whose net no layer in place spoils it."""
    text, names = pull_apart(case.text)
    layers = list(net.layer_dict)
    ran = layers[: None if back[0] is None else layers.index(back[0]) + 1]
    writer = {top: layer for layer in ran for top in net.top_names[layer]}
    wanted = {}
    seeds = {}
    for top, seed in numbers.seeds.items():
        layer = writer[top]
        several = len(net.top_names[layer]) > 1
        wanted[f"{layer}[{net.top_names[layer].index(top)}]" if several else layer] = seed
        seeds[names[layer, top]] = seed
    for layer in ran:  # losses that are not asked for
        if net.layer_dict[layer].type.endswith("Loss"):
            for top in net.top_names[layer]:
                seeds.setdefault(names[layer, top], np.zeros(net.blobs[top].shape, np.float32))
    theirs = _theirs(oracle, replace(case, text=text), replace(numbers, seeds=seeds), [(None, back[0])], back)
    free = [name for name in numbers.inputs if not name.startswith(WHOLE) and (case.given or name == "data")]
    size = max(float(np.linalg.norm(d)) for d in theirs.diffs.values())
    for weights in (None, {}):
        xs = {name: torch.tensor(x, requires_grad=name in free) for name, x in numbers.inputs.items()}
        values = net.program(list(wanted))(xs, weights)
        pairs = [(values[name], torch.tensor(seed)) for name, seed in wanted.items() if values[name].requires_grad]
        if not pairs:
            continue
        grads = torch.autograd.grad([y for y, _ in pairs], [xs[n] for n in free], [d for _, d in pairs], allow_unused=True)
        for name, g in zip(free, grads, strict=True):
            found = np.zeros_like(numbers.inputs[name]) if g is None else g.numpy()
            error = note("random nets, program", off(found, theirs.diffs[name if case.given else "first"], FLOOR * size))
            assert error <= TOLERANCE, f"the gradient of {name} {'by tape' if weights is None else 'by autograd'} is off by {error:.1e}"


_PASSES = """
force = "" if "force_backward" in arguments["text"] else "force_backward: true\\n"
open("n.prototxt", "w").write(force + arguments["text"])
net = caffe.Net("n.prototxt", getattr(caffe, arguments["phase"]))
for key, value in inputs.items():
    kind, name = key.split("/", 1)
    if kind == "weight":
        layer, i = name.rsplit("/", 1)
        net.params[layer][int(i)].data[...] = value
        net.params[layer][int(i)].diff[...] = 0
    elif kind == "blob":
        net.blobs[name].data[...] = value
for start, end in arguments["forwards"]:
    net.forward(start=start, end=end)
for name, blob in net.blobs.items():
    result["data/" + name] = blob.data.copy()
for key, value in inputs.items():
    if key.startswith("seed/"):
        net.blobs[key[5:]].diff[...] = value
net.backward(start=arguments["back"][0], end=arguments["back"][1])
for name, blob in net.blobs.items():
    result["diff/" + name] = blob.diff.copy()
for layer, blobs in net.params.items():
    if layer not in arguments["moved"]:
        for i, blob in enumerate(blobs):
            result["weight/%s/%d" % (layer, i)] = blob.diff.copy()
"""


def _theirs(oracle: Oracle, case: Case, numbers: Numbers, forwards: Sequence[Range], back: Range) -> Found:
    given = {f"weight/{k}/{i}": w for k, ws in numbers.weights.items() for i, w in enumerate(ws)}
    given |= {f"blob/{name}": x for name, x in numbers.inputs.items()} | {f"seed/{top}": d for top, d in numbers.seeds.items()}
    moved = [layer.name for layer in parse_net(case.text, phase=case.phase).param.layer if layer.type == "BatchNorm"]
    arguments = {"text": case.text, "phase": case.phase, "forwards": forwards, "back": back, "moved": moved}
    found = oracle.script(_PASSES, inputs=given, arguments=arguments)

    def part(kind: str) -> dict[str, Array]:
        return {key[len(kind) :]: value for key, value in found.items() if key.startswith(kind)}

    return Found(part("data/"), part("diff/"), part("weight/"))
