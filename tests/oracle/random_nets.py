"""Random small nets, with all that makes blobs share, split and overwrite each other, held against real Caffe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.oracle.compare import TOLERANCE, note
from tests.oracle.harness import Array, Oracle, Run, relative_error

IN_PLACE = [
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: 0.2 }"),
    ("ReLU", "relu_param { negative_slope: -0.3 }"),
    ("PReLU", "prelu_param { filler { type: 'uniform' min: 0.1 max: 0.5 } }"),
    ("ELU", "elu_param { alpha: 0.7 }"),
    ("Sigmoid", ""),
    ("TanH", ""),
    ("Dropout", ""),
    ("Power", "power_param { power: 2 scale: 0.5 shift: 0.3 }"),
    ("Power", "power_param { scale: -0.7 shift: 0.1 }"),
    ("BatchNorm", ""),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    ("Scale", "scale_param { bias_term: true filler { type: 'uniform' min: 0.5 max: 1.5 } }"),
    ("Bias", "bias_param { filler { type: 'gaussian' std: 0.5 } }"),
    ("Softmax", ""),
    ("BNLL", ""),
    ("Exp", "exp_param { scale: 0.3 }"),
    ("Clip", "clip_param { min: -0.8 max: 1.1 }"),
    ("Swish", "swish_param { beta: 1.3 }"),
]
APART = [*IN_PLACE, ("AbsVal", ""), ("MVN", ""), ("LRN", "lrn_param { local_size: 3 alpha: 0.5 }")]
POOLS = [
    "pool: MAX kernel_size: 3 stride: 2",
    "pool: AVE kernel_size: 3 stride: 2 pad: 1",
    "pool: MAX kernel_size: 2 stride: 1 pad: 1",
    "pool: AVE kernel_h: 2 kernel_w: 3 stride: 1",
    "pool: MAX kernel_size: 2 stride: 2 round_mode: FLOOR",
]
FILLER = 'weight_filler { type: "gaussian" std: %.2f } bias_filler { type: "gaussian" std: 0.3 }'


LOOSE, FLOOR = 2e-3, 1e-5
"""BatchNorm, Softmax and others take differences of nearly equal numbers; what is nothing but rounding is no gradient to compare."""


@dataclass
class Case:
    """A net, and the layers from which to which it runs."""

    text: str
    phase: str
    start: str | None
    end: str | None


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.count = 0
        self.shared: dict[str, int] = {}

    def pick(self, things: Iterable[object]) -> object:
        all_ = list(things)
        return all_[int(self.rng.integers(len(all_)))]

    def add(self, type_: str, bottoms: list[str], rest: str = "", in_place: bool = False, tops: int = 1) -> list[str]:
        """Add a layer and learn its tops' shapes from the engine."""
        name = f"l{self.count}"
        names = [bottoms[0]] if in_place else [name if tops == 1 else f"{name}_{i}" for i in range(tops)]
        reads = " ".join(f'bottom: "{b}"' for b in bottoms)
        line = f'layer {{ name: "{name}" type: "{type_}" {reads} {" ".join(f"top: {chr(34)}{t}{chr(34)}" for t in names)} {rest} }}'
        net = Net(parse_net("\n".join([*self.lines, line])))
        self.lines.append(line)
        self.count += 1
        for top in names:
            self.shapes[top] = net.blobs[top].shape
        return names

    def maps(self) -> list[str]:
        """The blobs that are pictures and not too small."""
        return [b for b, s in self.shapes.items() if len(s) == 4 and min(s[2:]) >= 3]

    def conv(self, bottom: str) -> str:
        c = self.shapes[bottom][1]
        kernel, pad, stride = self.pick([(1, 0, 1), (3, 1, 1), (3, 0, 1), (3, 1, 2), (2, 1, 1)])  # type: ignore[misc]
        extra = (
            "dilation: 2"
            if kernel == 3 and pad == 1 and stride == 1 and min(self.shapes[bottom][2:]) > 4 and self.rng.random() < 0.3
            else ""
        )
        groups = [g for g in (1, 1, 2, 3) if c % g == 0]
        group = int(self.pick(groups))  # type: ignore[call-overload]
        n = group * int(self.rng.integers(1, 4))
        named = f'param {{ name: "w{n}_{c}_{kernel}_{group}" }}' if self.rng.random() < 0.4 else ""
        std = (c // group * kernel**2) ** -0.5
        window = f"num_output: {n} kernel_size: {kernel} pad: {pad} stride: {stride} group: {group}"
        return self.add("Convolution", [bottom], f"{named} convolution_param {{ {window} {extra} {FILLER % std} }}")[0]

    def chain(self, blob: str) -> None:
        for _ in range(int(self.rng.integers(0, 4))):
            type_, rest = self.pick(self.fit(IN_PLACE, blob))  # type: ignore[misc]
            self.add(type_, [blob], rest, in_place=True)

    def fit(self, types: list[tuple[str, str]], blob: str) -> list[tuple[str, str]]:
        """Leave out what makes a constant of this blob, whose rounding others would then enlarge."""
        n, c, *rest = self.shapes[blob]
        return [(t, p) for t, p in types if not (t == "Softmax" and c == 1) and not ("stats" in p and n * int(np.prod(rest)) == 1)]

    def step(self) -> None:
        """Add one layer of some kind, and perhaps what runs in place upon it."""
        maps = self.maps()
        blob = str(self.pick(maps[-4:]))
        kind = str(self.pick(["conv", "conv", "conv", "apart", "pool", "sum", "join", "slice", "flat", "deconv"]))
        same = [b for b in maps if b != blob and self.shapes[b] == self.shapes[blob]]
        joined = [
            b for b in maps if b != blob and self.shapes[b][2:] == self.shapes[blob][2:] and self.shapes[b][0] == self.shapes[blob][0]
        ]
        if kind == "apart":
            type_, rest = self.pick(self.fit(APART, blob))  # type: ignore[misc]
            made = self.add(type_, [blob], rest)
        elif kind == "pool" and min(self.shapes[blob][2:]) > 3:
            made = self.add("Pooling", [blob], f"pooling_param {{ {self.pick(POOLS)} }}")
        elif kind == "sum":
            other = str(self.pick(same)) if same else self.add("Power", [blob], "power_param { scale: 0.7 shift: 0.2 }")[0]
            how = self.pick(["", "coeff: 1 coeff: -0.5", "operation: PROD", "operation: MAX"])
            made = self.add("Eltwise", [blob, other], f"eltwise_param {{ {how} }}")
        elif kind == "join" and joined:
            made = self.add("Concat", [str(self.pick(joined)), blob])
        elif kind == "slice" and self.shapes[blob][1] > 1:
            made = self.add("Slice", [blob], f"slice_param {{ slice_point: {int(self.rng.integers(1, self.shapes[blob][1]))} }}", tops=2)
        elif kind == "flat":
            made = self.add("Reshape", [blob], "reshape_param { shape { dim: 0 dim: -1 } }")
        elif kind == "deconv":
            n = int(self.rng.integers(1, 4))
            made = self.add("Deconvolution", [blob], f"convolution_param {{ num_output: {n} kernel_size: 2 stride: 1 {FILLER % 0.4} }}")
        else:
            made = [self.conv(blob)]
        for top in made:
            if min(self.shapes[top]) > 0 and len(self.shapes[top]) == 4:
                self.chain(top)
            elif len(self.shapes[top]) == 2:
                self.chain(top)
                n = f"inner_product_param {{ num_output: {int(self.rng.integers(2, 5))} {FILLER % (self.shapes[top][1] ** -0.5)} }}"
                self.chain(self.add("InnerProduct", [top], n)[0])


def make_case(seed: int) -> Case:
    """Draw a net, and now and then a part of it to run."""
    maker = _Maker(seed)
    n, c, h, w = (int(v) for v in maker.rng.integers((1, 1, 6, 5), (4, 4, 10, 9)))
    maker.lines.append(
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {n} dim: {c} dim: {h} dim: {w} }} }} }}'
    )
    maker.shapes["data"] = (n, c, h, w)
    maker.chain(maker.conv("data"))
    for _ in range(int(maker.rng.integers(3, 8))):
        maker.step()
    names = [f"l{i}" for i in range(maker.count)]
    end = str(maker.pick(names[1:])) if maker.rng.random() < 0.4 else None
    return Case("\n".join(maker.lines), "TEST", None, end)


def compare_case(oracle: Oracle, case: Case, seed: int) -> None:
    """Run both; compare blobs, diffs, weights' diffs, and the data's gradient by program.

    Raises
    ------
    AssertionError
        Naming the blob; if only gradients differ, and not for one of three inputs, rounding at a kink has decided.
    """
    problems = []
    for attempt in range(3):
        found = _compare(oracle, case, 1000 * seed + attempt)
        if not found:
            return
        problems.append(found)
    raise AssertionError(f"{problems[0]}; then {problems[1]}; then {problems[2]}")


def _compare(oracle: Oracle, case: Case, seed: int) -> str:
    net = Net(parse_net(case.text, phase=case.phase), seed=seed)
    rng = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        if net.layer_dict[name].type == "BatchNorm":
            for blob in blobs:
                blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)
    weights = {name: [b.data.copy() for b in blobs] for name, blobs in net.params.items()}
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    inputs = {name: rng.normal(size=net.blobs[name].shape).astype(np.float32) for name in net.inputs}
    for name, x in inputs.items():
        net.blobs[name].data[...] = x
    names = list(net.layer_dict)
    ran = names[: None if case.end is None else names.index(case.end) + 1]
    tops = {top for layer in ran for top in net.top_names[layer]}
    ends = tops - {b for layer in ran for b in net.bottom_names[layer] if b not in net.top_names[layer]} - set(net.inputs)
    if case.end is not None:
        ends = set(net.top_names[case.end])
    seeds = {top: rng.normal(size=net.blobs[top].shape).astype(np.float32) for top in sorted(ends)}
    if rng.random() < 0.5:
        held = [blob.data for blob in net.blobs.values()]  # with views held, values go through other memory
        assert held
    net.forward(end=case.end)
    data = {name: net.blobs[name].data.copy() for name in tops}
    for name, d in seeds.items():
        net.blobs[name].diff[...] = d
    net.backward(start=case.end)
    theirs = oracle.run(case.text, case.phase, weights=weights, inputs=inputs, seeds=seeds, end=case.end)
    return _differences(net, data, theirs, tops, ran) or (_program(net, inputs, seeds, theirs, ran) if _is_plain(net, case, ran) else "")


def _differences(net: Net, data: dict[str, Array], theirs: Run, tops: set[str], ran: list[str]) -> str:
    for name in (b for b in net.blobs if b in tops):
        error = note("random nets forward", off(data[name], theirs.blobs[name], 1e-4))
        assert error <= TOLERANCE, f"blob {name} is off by {error:.1e}"
    pairs = [(f"blob {name}", net.blobs[name].diff, theirs.diffs[name]) for name in reversed(net.blobs) if name in tops]
    for layer in ran:
        for i, blob in enumerate(net.params.get(layer, [])):
            if net.layer_dict[layer].type != "BatchNorm":
                pairs.append((f"weight {i} of {layer}", blob.diff, theirs.weight_diffs[layer][i]))
    floor = FLOOR * max(float(np.nan_to_num(expected, posinf=0, neginf=0).max()) for _, _, expected in pairs)
    for what, ours, expected in pairs:
        error = off(ours, expected, floor * (100 if what.startswith("weight") else 1))  # what BatchNorm undoes has no gradient
        if error > LOOSE:
            return f"the diff of {what} is off by {error:.1e}"
        note("random nets backward", error)
    return ""


def _is_plain(net: Net, case: Case, ran: list[str]) -> bool:
    """Whether a program is to give the net's gradient.

    It does not where Power in place, whose diff is no multiple of its top's, lies beside the way from the end; where a
    Reshape lets a layer in place write over what another layer reads; nor can it name all tops of a Slice.
    """
    over = {net.top_names[layer][0] for layer in ran if net.top_names[layer] == net.bottom_names[layer]}
    shared = any("_split_" in net.bottom_names[n][0] and net.top_names[n][0] in over for n in ran if net.layer_dict[n].type == "Reshape")
    powers = any(net.layer_dict[n].type == "Power" and net.top_names[n] == net.bottom_names[n] for n in ran)
    return not shared and (case.end is None or not (powers or len(net.top_names[case.end]) > 1))


def _program(net: Net, inputs: dict[str, Array], seeds: dict[str, Array], theirs: Run, ran: list[str]) -> str:
    writer = {top: layer for layer in ran for top in net.top_names[layer]}
    names = {top: top if len(net.top_names[layer]) > 1 else layer for top, layer in writer.items()}
    wanted = [names[top] for top in seeds]
    for weights in (None, {}):
        xs = {name: torch.tensor(x, requires_grad=True) for name, x in inputs.items()}
        values = net.program(wanted)(xs, weights)
        pairs = [(values[name], torch.tensor(d)) for name, d in zip(wanted, seeds.values(), strict=True) if values[name].requires_grad]
        if not pairs:
            continue
        grads = torch.autograd.grad([y for y, _ in pairs], list(xs.values()), [d for _, d in pairs], allow_unused=True)
        for name, g in zip(xs, grads, strict=True):
            floor = FLOOR * max(float(np.nan_to_num(d, posinf=0, neginf=0).max()) for d in theirs.diffs.values())
            error = 0.0 if g is None else off(g.numpy(), theirs.diffs[name], floor)
            if error > LOOSE:
                return f"the gradient of {name} {'by tape' if weights is None else 'by autograd'} is off by {error:.1e}"
            note("random nets, program", error)
    return ""


def off(a: Array, b: Array, floor: float = 1e-6) -> float:
    """The relative error; 0 where both are below ``floor``, or infinite together."""
    assert a.shape == b.shape
    bad = ~np.isfinite(b) | ~np.isfinite(a)
    if (np.isfinite(a) != np.isfinite(b)).any():
        return float("inf")
    a, b = np.where(bad, 0, a), np.where(bad, 0, b)
    return 0.0 if max(np.abs(a).max(), np.abs(b).max()) <= floor else relative_error(a, b)


def save(case: Case, seed: int, folder: Path) -> Path:
    """Write a net that failed, for a closer look."""
    path = folder / f"random_net_{seed}.prototxt"
    path.write_text(f"# seed {seed}, end {case.end}\n{case.text}\n")
    return path


_TWICE = """
open("n.prototxt", "w").write("force_backward: true\\n" + arguments["text"])
net = caffe.Net("n.prototxt", caffe.TEST)
for key, value in inputs.items():
    kind, name = key.split("/", 1)
    if kind == "weight":
        layer, i = name.rsplit("/", 1)
        net.params[layer][int(i)].data[...] = value
    elif kind == "blob":
        net.blobs[name].data[...] = value
net.forward()
net.forward(start=arguments["start"], end=arguments["end"])
for key, value in inputs.items():
    if key.startswith("seed/"):
        net.blobs[key[5:]].diff[...] = value
net.backward(start=arguments["end"], end=arguments["start"])
for name, blob in net.blobs.items():
    result["data/" + name], result["diff/" + name] = blob.data.copy(), blob.diff.copy()
"""


def compare_ranges(oracle: Oracle, seed: int) -> None:
    """Run a random net, then a random range of its layers once more, forward and back, over what stands there.

    Raises
    ------
    AssertionError
        As `compare_case`.
    """
    text = make_case(seed).text
    problems = []
    for attempt in range(3):
        rng = np.random.default_rng([seed, attempt])
        net = Net(parse_net(text), seed=seed)
        names = list(net.layer_dict)
        first, last = sorted(int(i) for i in rng.integers(0, len(names), 2))
        tops = net.top_names[names[last]]
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = rng.uniform(0.5, 1.5, blob.shape) if len(blobs) == 3 else rng.normal(0, 0.5, blob.shape)
        given = {f"weight/{k}/{i}": b.data.copy() for k, blobs in net.params.items() for i, b in enumerate(blobs)}
        given["blob/data"] = rng.normal(size=net.blobs["data"].shape).astype(np.float32)
        given |= {f"seed/{top}": rng.normal(size=net.blobs[top].shape).astype(np.float32) for top in tops}
        net.blobs["data"].data[...] = given["blob/data"]
        net.forward()
        net.forward(start=names[first], end=names[last])
        for top in tops:
            net.blobs[top].diff[...] = given[f"seed/{top}"]
        net.backward(start=names[last], end=names[first])
        theirs = oracle.script(_TWICE, inputs=given, arguments={"text": text, "start": names[first], "end": names[last]})
        floor = FLOOR * max(float(np.nan_to_num(v, posinf=0, neginf=0).max()) for k, v in theirs.items() if k.startswith("diff/"))
        errors = {
            f"{kind} of blob {name}": off(v, theirs[f"{kind}/{name}"], max(floor, 1e-4 if kind == "data" else 0))
            for name, blob in net.blobs.items()
            for kind, v in (("data", blob.data), ("diff", blob.diff))
        }
        found = [f"the {what} is off by {e:.1e} ({names[first]} to {names[last]})" for what, e in errors.items() if e > LOOSE]
        if not found:
            return
        problems.append(found[0])
    raise AssertionError("; then ".join(problems))
