"""Random small nets, with all that makes blobs share, split and overwrite each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.support.oracle.random_compare import Case

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


class Maker:
    """Draws layers one after another, each fit for what is there."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.count = 0
        self.sizes: dict[str, tuple[int, ...]] = {}
        """The shapes of blobs that no further layer is to read."""

    def pick(self, things: Iterable[object]) -> object:
        all_ = list(things)
        return all_[int(self.rng.integers(len(all_)))]

    def add(self, type_: str, bottoms: list[str], rest: str = "", in_place: bool = False, tops: int = 1) -> list[str]:
        """Add a layer and learn its tops' shapes from the engine."""
        name = f"l{self.count}"
        names = [bottoms[0]] if in_place else [name if tops == 1 else f"{name}_{i}" for i in range(tops)]
        reads = " ".join(f'bottom: "{b}"' for b in bottoms)
        line = f'layer {{ name: "{name}" type: "{type_}" {reads} {" ".join(f"top: {chr(34)}{t}{chr(34)}" for t in names)} {rest} }}'
        given = "\n".join(enter(b, (self.shapes | self.sizes)[b]) for b in dict.fromkeys(bottoms))
        net = Net(parse_net(f"{given}\n{line}", keep=["DummyData"]))
        self.lines.append(line)
        self.count += 1
        for top in names:
            self.shapes[top] = net.blobs[top].shape
        return names

    def maps(self) -> list[str]:
        """The blobs that are images and not too small."""
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
        self.finish(made)

    def finish(self, made: list[str]) -> None:
        """Add what runs in place upon what was made, and layers above what is no map."""
        for top in made:
            if min(self.shapes[top], default=0) > 0 and len(self.shapes[top]) == 4:
                self.chain(top)
            elif len(self.shapes[top]) == 2:
                self.chain(top)
                n = f"inner_product_param {{ num_output: {int(self.rng.integers(2, 5))} {FILLER % (self.shapes[top][1] ** -0.5)} }}"
                self.chain(self.add("InnerProduct", [top], n)[0])


def enter(name: str, shape: tuple[int, ...]) -> str:
    """Return an Input layer."""
    dims = " ".join(f"dim: {d}" for d in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'


def make_case(seed: int) -> Case:
    """Draw a net, and now and then a part of it to run."""
    maker = Maker(seed)
    n, c, h, w = (int(v) for v in maker.rng.integers((1, 1, 6, 5), (4, 4, 10, 9)))
    maker.lines.append(enter("data", (n, c, h, w)))
    maker.shapes["data"] = (n, c, h, w)
    maker.chain(maker.conv("data"))
    for _ in range(int(maker.rng.integers(3, 8))):
        maker.step()
    names = [f"l{i}" for i in range(maker.count)]
    end = str(maker.pick(names[1:])) if maker.rng.random() < 0.4 else None
    return Case("\n".join(maker.lines), "TEST", None, end)
