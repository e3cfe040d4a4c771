"""Random small nets of all of Caffe's types that have a backward pass, and some that have none."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from dreamopt.errors import DreamoptError
from tests.support.oracle.random_compare import WHOLE, Case
from tests.support.oracle.random_nets import FILLER, Maker, enter

BACKLESS = ("ArgMax", "Threshold", "Accuracy")
"""Types without a backward pass: nothing above them may count in a loss."""


class WideMaker(Maker):
    """Draws layers of all types.

    Parameters
    ----------
    seed : int
        Draws the net.
    lossy : bool
        Caffe is to go back from losses instead of by ``force_backward``, at which it dies in Filter, Embed and others. Then it
        needs something to learn above the data, and makes no diff of the data itself.
    """

    def __init__(self, seed: int, lossy: bool) -> None:
        super().__init__(seed)
        self.lossy = lossy

    def step(self) -> None:
        """Add a layer of the common types, or of all."""
        kinds = [*_KINDS, *(_LOSSY if self.lossy else ())]
        kind = kinds[int(self.rng.integers(len(kinds)))]
        if self.rng.random() < 0.35:
            return super().step()
        try:
            made = kind(self, str(self.pick(self.maps()[-4:])))
        except DreamoptError:  # it does not fit this map
            return super().step()
        self.finish(made)
        return None

    def enter(self, name: str, *shape: int) -> str:
        """Add an input; the name's start says what numbers it gets (`draw_input`)."""
        name = f"{name}_{self.count}_{len(self.lines)}"
        self.lines.append(enter(name, shape))
        self.sizes[name] = shape
        return name

    def dense(self, blob: str, n: int | None = None, more: str = "") -> str:
        n = int(self.rng.integers(2, 6)) if n is None else n
        size = max(1, int(self.volume(self.shapes[blob][1:])))
        return self.add("InnerProduct", [blob], f"inner_product_param {{ num_output: {n} {more} {FILLER % (size**-0.5)} }}")[0]

    def volume(self, shape: tuple[int, ...]) -> int:
        found = 1
        for d in shape:
            found *= d
        return found


def _log(m: WideMaker, blob: str) -> list[str]:
    low = m.add(str(m.pick(["AbsVal", "BNLL", "Sigmoid"])), [blob])[0]
    return m.add("Log", [low], "log_param { shift: 0.5 base: 3 }", in_place=m.rng.random() < 0.5)


def _crop(m: WideMaker, blob: str) -> list[str]:
    like = m.add("Pooling", [str(m.pick(m.maps()[-4:]))], "pooling_param { kernel_size: 2 stride: 2 }")[0]
    return m.add("Crop", [blob, like], f"crop_param {{ axis: 2 offset: {int(m.rng.integers(0, 2))} }}")


def _tile(m: WideMaker, blob: str) -> list[str]:
    return m.add("Tile", [blob], f"tile_param {{ axis: {int(m.rng.integers(1, 4))} tiles: 2 }}")


def _reduction(m: WideMaker, blob: str) -> list[str]:
    how = m.pick(["SUM", "ASUM", "SUMSQ", "MEAN"])
    return m.add("Reduction", [blob], f"reduction_param {{ operation: {how} axis: {int(m.rng.integers(0, 4))} coeff: 0.7 }}")


def _spp(m: WideMaker, blob: str) -> list[str]:
    return m.add("SPP", [blob], f"spp_param {{ pyramid_height: 2 pool: {m.pick(['MAX', 'AVE'])} }}")


def _im2col(m: WideMaker, blob: str) -> list[str]:
    return m.add("Im2col", [blob], f"convolution_param {{ kernel_size: 2 stride: {int(m.rng.integers(1, 3))} }}")


def _normalize(m: WideMaker, blob: str) -> list[str]:
    types = [
        ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.7 }"),
        ("LRN", "lrn_param { local_size: 5 alpha: 2 beta: 0.6 k: 1.5 }"),
        ("MVN", "mvn_param { across_channels: true }"),
        ("MVN", "mvn_param { normalize_variance: false }"),
        ("Softmax", "softmax_param { axis: 3 }"),
        ("Softmax", "softmax_param { axis: -2 }"),
    ]
    return m.add(*_typed(m, types, blob))


def _typed(m: WideMaker, types: list[tuple[str, str]], blob: str) -> tuple[str, list[str], str]:
    type_, rest = types[int(m.rng.integers(len(types)))]
    return type_, [blob], rest


def _flatten(m: WideMaker, blob: str) -> list[str]:
    return m.add("Flatten", [blob], f"flatten_param {{ axis: {int(m.rng.integers(1, 3))} }}")


def _dense(m: WideMaker, blob: str) -> list[str]:
    return [m.dense(blob, more=f"axis: {int(m.rng.integers(1, 4))} transpose: {m.pick(['true', 'false'])}")]


def _two_bottoms(m: WideMaker, blob: str) -> list[str]:
    factor = m.add("Reduction", [blob], "reduction_param { operation: MEAN axis: 2 }")[0]
    type_ = str(m.pick(["Scale", "Bias"]))
    return m.add(type_, [blob, factor], f"{type_.lower()}_param {{ axis: 0 }}")


def _parameter(m: WideMaker, blob: str) -> list[str]:
    learnt = m.add("Parameter", [], f"parameter_param {{ shape {{ dim: {m.shapes[blob][1]} }} }}")[0]
    type_ = str(m.pick(["Scale", "Bias"]))
    return m.add(type_, [blob, learnt], f"{type_.lower()}_param {{ axis: 1 }}")


def _constant(m: WideMaker, blob: str) -> list[str]:
    dims = " ".join(f"dim: {d}" for d in m.shapes[blob])
    one = m.add("DummyData", [], f"dummy_data_param {{ shape {{ {dims} }} data_filler {{ value: 0.7 }} }}")[0]
    m.sizes[one] = m.shapes.pop(one)  # without force_backward Caffe makes no diffs of what nothing is learnt from
    return m.add("Eltwise", [one, blob], f"eltwise_param {{ operation: {m.pick(['SUM', 'PROD', 'MAX'])} }}")


def _three(m: WideMaker, blob: str) -> list[str]:
    a = m.add("TanH", [blob])[0]
    b = m.add("Power", [a], "power_param { power: 3 scale: 0.4 }")[0]
    how = m.pick(["coeff: 1 coeff: -0.5 coeff: 2", "operation: PROD"])
    return m.add("Eltwise", [a, blob, b], f"eltwise_param {{ {how} }}")


def _join(m: WideMaker, blob: str) -> list[str]:
    other = m.add("Sigmoid", [blob])[0]
    return m.add("Concat", [blob, other], f"concat_param {{ axis: {m.pick([2, 3, -2])} }}")


def _slice(m: WideMaker, blob: str) -> list[str]:
    axis = int(m.rng.integers(2, 4))
    if m.shapes[blob][axis] < 4:
        return m.add("Split", [blob], tops=2)
    return m.add("Slice", [blob], f"slice_param {{ axis: {axis} slice_point: 1 slice_point: 3 }}", tops=3)


def _pool(m: WideMaker, blob: str) -> list[str]:
    if m.rng.random() < 0.5:
        return m.add("Pooling", [blob], f"pooling_param {{ pool: {m.pick(['MAX', 'AVE'])} global_pooling: true }}")
    made, mask = m.add("Pooling", [blob], "pooling_param { kernel_size: 2 stride: 2 }", tops=2)
    del m.shapes[mask]
    return [made]


def _grow(m: WideMaker, blob: str) -> list[str]:
    c = m.shapes[blob][1]
    window = f"num_output: {2 * c} group: {c} kernel_size: 3 stride: 2 pad: 1 bias_term: false"
    return m.add("Deconvolution", [blob], f"convolution_param {{ {window} weight_filler {{ type: 'xavier' }} }}")


def _recurrent(m: WideMaker, blob: str) -> list[str]:
    # a copy of its own: for its weights' diffs Caffe would read what a layer in place behind a Flatten writes there
    blob = m.add("Power", [blob], "power_param { scale: 0.9 }")[0]
    m.sizes[blob] = m.shapes.pop(blob)
    steps, streams = m.sizes[blob][:2]
    reads = [blob, m.enter("cont", steps, streams)]
    if m.rng.random() < 0.3:
        reads.append(m.enter("static", streams, 3))
    fill = "weight_filler { type: 'uniform' min: -0.4 max: 0.4 } bias_filler { type: 'uniform' min: -0.2 max: 0.2 }"
    return m.add(str(m.pick(["LSTM", "RNN"])), reads, f"recurrent_param {{ num_output: {int(m.rng.integers(2, 4))} {fill} }}")


def _silence(m: WideMaker, blob: str) -> list[str]:
    return m.add("Silence", [blob], tops=0)


def _loss(m: WideMaker, blob: str) -> list[str]:
    n, c, h, w = m.shapes[blob]
    weight = str(m.pick(["", "loss_weight: 0.7"]))
    kind = str(m.pick(["map", "dense", "target", "two", "hinge", "log", "pair"]))
    if kind == "map" and c > 1:
        return m.add("SoftmaxWithLoss", [blob, m.enter(f"whole{c}", n, 1, h, w)], f"{weight} loss_param {{ ignore_label: 1 }}")
    if kind == "target":
        return m.add("SigmoidCrossEntropyLoss", [blob, m.enter("given", n, c, h, w)], weight)
    if kind == "two":
        return m.add("EuclideanLoss", [blob, m.add("Power", [blob], "power_param { scale: 0.4 power: 2 }")[0]], weight)
    if kind == "pair":
        a, b = m.dense(blob, 3), m.dense(blob, 3)
        return m.add("ContrastiveLoss", [a, b, m.enter("whole2", n)], f"{weight} contrastive_loss_param {{ margin: 1.5 }}")
    a, k = m.dense(blob, 4), m.enter("whole4", n)
    if kind == "hinge":
        return m.add("HingeLoss", [a, k], f"{weight} hinge_loss_param {{ norm: {m.pick(['L1', 'L2'])} }}")
    if kind == "log":
        return m.add("MultinomialLogisticLoss", [m.add("Softmax", [a])[0], k], weight)
    return m.add("SoftmaxWithLoss", [a, k], weight)


def _backless(m: WideMaker, blob: str) -> list[str]:
    kind = str(m.pick(["Threshold", "ArgMax", "Accuracy"]))
    if kind == "Accuracy":
        (made,) = m.add(kind, [m.dense(blob, 4), m.enter("whole4", m.shapes[blob][0])])
    else:
        (made,) = m.add(kind, [blob], "threshold_param { threshold: 0.2 }" if kind == "Threshold" else "argmax_param { axis: 1 }")
    del m.shapes[made]
    return m.add("Power", [blob], "power_param { scale: 1.1 }")  # so that what is below counts in a loss all the same


def _chosen(m: WideMaker, blob: str) -> list[str]:
    n = m.shapes[blob][0]
    if m.rng.random() < 0.5:
        return m.add("BatchReindex", [blob, m.enter(f"whole{n}", 5)])
    made = m.add("Filter", [blob, m.enter("chosen", n)])
    for top in made:
        del m.shapes[top]  # how many items it has, only the passes tell
    return []


def _embed(m: WideMaker, blob: str) -> list[str]:
    words = m.enter("whole6", m.shapes[blob][0])
    fill = "weight_filler { type: 'gaussian' std: 0.5 }"
    looked = m.add("Embed", [words], f"embed_param {{ input_dim: 6 num_output: {m.shapes[blob][1]} {fill} }}")[0]
    return m.add("Scale", [blob, looked], "scale_param { axis: 0 }")


def _infogain(m: WideMaker, blob: str) -> list[str]:
    return m.add("InfogainLoss", [m.dense(blob, 3), m.enter("whole3", m.shapes[blob][0]), m.enter("given", 1, 1, 3, 3)])


Kind = Callable[[WideMaker, str], list[str]]
_KINDS: list[Kind] = [
    *(_log, _crop, _tile, _reduction, _spp, _im2col, _normalize, _flatten, _dense, _two_bottoms, _parameter, _constant, _three),
    *(_join, _slice, _pool, _grow, _recurrent, _silence, _loss, _loss),
]
_LOSSY: list[Kind] = [_backless, _backless, _chosen, _chosen, _embed, _infogain]


def make_wide_case(seed: int) -> Case:
    """Draw a net of all types, and now and then a part of it to run; those of odd seeds go back from losses."""
    lossy = bool(seed % 2)
    maker = WideMaker(seed, lossy)
    shape = tuple(int(v) for v in maker.rng.integers((2, 2, 6, 5), (4, 4, 9, 8)))
    maker.lines.append(enter("data", shape))
    data = "data"
    if lossy:
        maker.lines = [maker.lines[0], 'layer { name: "first" type: "Bias" bottom: "data" top: "first" }']
        data = "first"
    maker.shapes[data] = shape
    maker.chain(maker.conv(data))
    for _ in range(int(maker.rng.integers(3, 8))):
        maker.step()
    names = [f"l{i}" for i in range(maker.count)]
    end = str(maker.pick(names[1:])) if maker.rng.random() < 0.3 and not lossy else None
    lines = weighted(maker.lines) if lossy else maker.lines
    # Caffe leaves a reader that counts in no loss out of its reckoning, which dreamopt, for whom all do, cannot.
    if lossy and maker.rng.random() < 0.5 and not any(f'type: "{t}"' in line for t in (*BACKLESS, "Silence") for line in lines):
        lines = stopped(lines, maker.rng)
    return Case("\n".join(lines), "TEST", None, end, given=not lossy)


def weighted(lines: list[str]) -> list[str]:
    """Let what nobody reads count in the loss; without ``force_backward`` Caffe goes back from there only."""
    bottoms = [re.findall(r'bottom: "([^"]*)"', line) for line in lines]
    tops = [re.findall(r'top: "([^"]*)"', line) for line in lines]
    read = {b for below, above in zip(bottoms, tops, strict=True) for b in below if b not in above}
    last = {top: i for i, above in enumerate(tops) for top in above}
    found = ["force_backward: false"]
    for i, line in enumerate(lines):
        free = [top not in read and last[top] == i for top in tops[i]]
        backless = any(f'type: "{t}"' in line for t in (*BACKLESS, "Input", "DummyData"))
        if any(free) and not backless and "Loss" not in line:
            line = f"{line[:-1]} {' '.join(f'loss_weight: {int(f)}' for f in free)} }}"
        found.append(line)
    return found


_LEAKS = ("BatchNorm", "Im2col", "LRN", "MVN", "Softmax", "RNN", "LSTM", "LSTMUnit", "Reshape", "Flatten")
"""Types around which Caffe's gradient gets; where a program's does not is for `test_propagate_down`."""
_SCRATCH = ("Scale", "HingeLoss")
"""Types that leave numbers of their own in the diff of a bottom whose ``propagate_down`` is false."""


def stopped(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Let some layers stop the gradient at some of their bottoms."""
    found = []
    for line in lines:
        type_ = "".join(re.findall(r'type: "(\w+)"', line)[:1])
        bottoms = re.findall(r'bottom: "([^"]*)"', line)
        if bottoms and type_ not in (*_LEAKS, *_SCRATCH) and "data" not in bottoms and rng.random() < 0.2:
            flags = [rng.random() < 0.5 and not b.startswith(WHOLE) for b in bottoms]
            line = f"{line[:-1]} {' '.join(f'propagate_down: {str(t).lower()}' for t in flags)} }}"
        found.append(line)
    return found
