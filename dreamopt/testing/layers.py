"""Layer types: shapes, gradients, memory layouts, samples and weights, checked on a type's own examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, Weight
from dreamopt.engine.layer_types import known_types, layer_class, registered
from dreamopt.errors import DreamoptError
from dreamopt.parts.part import call_string, origin_of
from dreamopt.schema import parse_net
from dreamopt.testing.gradients import STEP, require_gradient
from dreamopt.testing.kind import PartError, require, require_close

MANY = 100
"""Numbers that are too many to be moved one by one by finite differences: all of them move, along random directions."""

ROOM = 16
"""Rows and columns by which maps are larger than the examples', where crops of them are looked at."""


@dataclass(frozen=True)
class LayerBench:
    """An example of a layer type, made.

    Attributes
    ----------
    layer : Layer
        After `Layer.setup`.
    example : Example
        What it was made of.
    bottoms, weights : tuple of Tensor
        Numbers in float64.
    """

    layer: Layer
    example: Example
    bottoms: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    @property
    def labels(self) -> frozenset[int]:
        """The bottoms that hold labels, places or boxes."""
        return _labels(type(self.layer), self.example)

    @property
    def without_gradient(self) -> frozenset[int]:
        """The bottoms that no gradient reaches."""
        n = len(self.bottoms)
        return self.labels | set(self.example.fixed) | {i % n for i in self.layer.no_gradient if -n <= i < n}

    def forward(self, bottoms: Sequence[Tensor]) -> list[Tensor]:
        """Compute the tops with copies of the weights: some types keep statistics in them."""
        return list(self.layer.forward(bottoms, [weight.clone() for weight in self.weights]))


def layer_text(type_: str, example: Example) -> str:
    """Write the net of an example: inputs ``b0``, ``b1`` ... and the one layer ``example`` with tops ``t0``, ``t1`` ..."""
    lines = []
    for i, shape in enumerate(example.shapes):
        dims = " ".join(f"dim: {d}" for d in shape)
        lines.append(f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {dims} }} }} }}')
    bottoms = " ".join(f'bottom: "b{i}"' for i in range(len(example.shapes)))
    tops = " ".join(f'top: "t{i}"' for i in range(example.tops))
    lines.append(f'layer {{ name: "example" type: "{type_}" {bottoms} {tops} {example.params} }}')
    return "\n".join(lines)


def layer_bench(part: type[Layer], example: Example) -> LayerBench:
    """Make an example of a layer type, with numbers that lie apart from each other and from 0."""
    definition = parse_net(layer_text(part.__name__, example), "example", example.phase, keep=("DummyData", "Python"))
    layer = part(definition.param.layer[-1], example.phase, definition.locations[-1])
    layer.check_counts()
    weights = layer.setup(example.shapes)
    require(all(isinstance(weight, Weight) for weight in weights), f"setup() must give Weights, not {list(weights)}")
    rng = np.random.default_rng(0)

    def numbers(shape: Shape) -> Tensor:
        n = int(np.prod(shape))
        values = (rng.permutation(n) + rng.uniform(0.3, 0.7, n)) / n * 2 - (0 if example.positive else 1)
        return torch.tensor(values.reshape(shape))

    labels = _labels(part, example)
    bottoms = [numbers(shape) for shape in example.shapes]
    bottoms = [(x > 0).double() if i in labels else x for i, x in enumerate(bottoms)]
    return LayerBench(layer, example, tuple(bottoms), tuple(numbers(weight.shape) for weight in weights))


def _labels(part: type[Layer], example: Example) -> frozenset[int]:
    n = len(example.shapes)
    found = part.no_gradient if example.labels is None else example.labels
    return frozenset(i % n for i in found if -n <= i < n)


def computes_what_shape_says(bench: LayerBench) -> None:
    """Require that the tops have the shapes that `shape` says, or at most those where the shapes depend on values."""
    said = [tuple(shape) for shape in bench.layer.shape(bench.example.shapes)]
    require(len(said) == bench.layer.n_tops, f"shape() gives {len(said)} shapes for {bench.layer.n_tops} tops")
    made = [tuple(top.shape) for top in bench.forward(bench.bottoms)]
    if bench.layer.shape_follows_data:
        fits = len(made) == len(said) and all(np.less_equal(m, s).all() for m, s in zip(made, said, strict=True))
        require(fits, f"shape() says that the tops are at most {said}, but forward() makes {made}")
    else:
        require(made == said, f"shape() says {said}, but forward() makes {made}")


def leaves_its_bottoms_alone(bench: LayerBench) -> None:
    """Require that forward() does not write into its bottoms."""
    before = [x.clone() for x in bench.bottoms]
    bench.forward(bench.bottoms)
    for i, (x, y) in enumerate(zip(bench.bottoms, before, strict=True)):
        require(torch.equal(x, y), f"forward() writes into bottom {i}")


def minds_no_memory_layout(bench: LayerBench) -> None:
    """Require that bottoms in channels-last memory give the same tops."""
    last = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in bench.bottoms]
    for a, b in zip(bench.forward(bench.bottoms), bench.forward(last), strict=True):
        require_close(b, a, "bottoms in channels-last memory give another top", rtol=1e-12, atol=1e-12)


def computes_in_the_type_of_its_bottoms(bench: LayerBench) -> None:
    """Require that float32 bottoms and weights give float32 tops."""
    tops = bench.layer.forward([x.float() for x in bench.bottoms], [weight.float() for weight in bench.weights])
    others = sorted({str(top.dtype) for top in tops} - {"torch.float32"})
    require(not others, f"float32 bottoms and weights give tops of {', '.join(others)}")


def has_the_gradient_of_finite_differences(bench: LayerBench) -> None:
    """Require that the gradient is the derivative of the tops with respect to bottoms and weights."""
    everything = [*bench.bottoms, *bench.weights]
    n = len(bench.bottoms)
    fixed = bench.without_gradient | {n + i for i in bench.example.fixed_weights}
    free = [i for i in range(len(everything)) if i not in fixed]
    variables = [everything[i].clone().requires_grad_() for i in free]

    def tops_of(*variables: Tensor) -> tuple[Tensor, ...]:
        values = list(everything)
        for i, variable in zip(free, variables, strict=True):
            values[i] = variable
        return tuple(top for top in bench.layer.forward(values[:n], values[n:]) if top.requires_grad)

    if not bench.layer.differentiable or not free or not bench.layer.n_tops:
        _has_no_gradient(tops_of(*variables), variables)
        return
    if sum(variable.numel() for variable in variables) > MANY and bench.example.step == STEP:
        require_gradient(lambda *values: torch.cat([top.flatten() for top in tops_of(*values)]), variables)
        return
    try:
        torch.autograd.gradcheck(tops_of, variables, eps=bench.example.step, atol=1e-6, rtol=1e-4)
    except Exception as problem:
        raise PartError(f"the gradient is not that of finite differences: {' '.join(str(problem).split())[:300]}") from problem


def _has_no_gradient(tops: Sequence[Tensor], variables: Sequence[Tensor]) -> None:
    """Require that no gradient comes back, or that asking for one is an error."""
    if not tops:
        return
    try:
        found = torch.autograd.grad([top.sum() for top in tops], variables, allow_unused=True)
    except DreamoptError:
        return
    require(not any(gradient is not None and gradient.any() for gradient in found), "a gradient comes back, but differentiable is False")


def computes_sample_by_sample(bench: LayerBench) -> None:
    """Require that fewer samples of the bottoms give the same samples of the tops, where both have as many."""
    tops = bench.forward(bench.bottoms)
    samples = {len(x) if x.dim() else 0 for x in (*bench.bottoms, *tops)}
    follows = bench.layer.shape_follows_data or bench.example.phase == "TRAIN" or not bench.example.per_sample
    if follows or not bench.bottoms or len(samples) != 1 or max(samples) < 2:
        return
    some = bench.forward([x[1:] for x in bench.bottoms])
    for few, all_of_them in zip(some, tops, strict=True):
        message = "the samples of a smaller batch differ; per_sample=False in the Example says that it mixes them"
        require_close(few, all_of_them[1:], message, rtol=1e-9, atol=1e-12)


def counts_multiply_adds(bench: LayerBench) -> None:
    """Require that flops() is a whole number, above 0 where there are weights."""
    shapes = bench.example.shapes
    flops = bench.layer.flops(shapes, bench.layer.shape(shapes))
    require(
        isinstance(flops, int) and flops >= bool(bench.weights), f"flops() is {flops!r}; allowed is a whole number, at least 1 with weights"
    )


def depends_on_what_lies_within_its_reach(bench: LayerBench) -> None:
    """Require that a crop of the bottoms gives the whole map's values at all places whose reach lies in the crop.

    The maps are larger than the example's by `ROOM`, the crops begin where the strides have a window, and touch no border, one, or both.
    """
    reach = bench.layer.reach(bench.example.shapes)
    if reach is None:
        return
    maps = [_larger(x, i) for i, x in enumerate(bench.bottoms)]
    if any(x.dim() != 4 for x in maps):
        return
    whole, compared = bench.forward(maps), 0
    for axis in (0, 1):
        stride, up, length = reach.stride[axis], reach.up[axis], min(x.shape[2 + axis] for x in maps)
        for first, left_out in ((0, 0), (0, 5), (2 * stride, 0), (2 * stride, 4)):
            crops = [x.narrow(2 + axis, first, x.shape[2 + axis] - left_out - first) for x in maps]
            for crop, top in zip(bench.forward(crops), whole, strict=True):
                for place in range(crop.shape[2 + axis]):
                    o = place + first // stride * up
                    low, high = reach.needed(axis, o, o + 1)
                    if (low >= first or first == 0) and (high <= length - left_out or left_out == 0):
                        where = f"place {o} of axis {2 + axis} has another value in a crop from {first} to {length - left_out}"
                        what = f"{where}; reach() is {reach}"
                        require_close(crop.select(2 + axis, place), top.select(2 + axis, o), what, rtol=1e-12, atol=1e-12)
                        compared += 1
    require(compared > 0, f"no place of a map of {tuple(maps[0].shape)} has all of its reach, {reach}, in a crop")


def _larger(x: Tensor, i: int) -> Tensor:
    """Return numbers as x's, in a map that is larger by `ROOM`."""
    if x.dim() != 4:
        return x
    rows, columns = x.shape[2] + ROOM, x.shape[3] + ROOM
    places = torch.randint(x.numel(), (*x.shape[:2], rows, columns), generator=torch.Generator().manual_seed(i))
    # No two equal numbers in a window, of which a maximum would pass its gradient to either.
    return x.flatten()[places] * (1 + 1e-3 * torch.linspace(0, 1, places.numel(), dtype=x.dtype).reshape(places.shape))


Check = Callable[[LayerBench], None]
CHECKS: tuple[Check, ...] = (
    computes_what_shape_says,
    leaves_its_bottoms_alone,
    minds_no_memory_layout,
    computes_in_the_type_of_its_bottoms,
    has_the_gradient_of_finite_differences,
    computes_sample_by_sample,
    counts_multiply_adds,
    depends_on_what_lies_within_its_reach,
)
"""What every layer type promises, for each of its examples."""


def says_whether_it_has_weights(part: type[Layer]) -> None:
    """Require that has_weights is true exactly if setup() asks for weights in one of the examples."""
    has = any(layer_bench(part, example).weights for example in part.examples)
    require(part.has_weights == has, f"setup() asks for {'' if has else 'no '}weights, but has_weights is {part.has_weights}")


@dataclass(frozen=True)
class LayerCase:
    """One check of one layer type; ``number`` is that of the example, None for a check of the class.

    Its `run` raises `PartError` with the type's file, the example and what does not hold.
    """

    part: type[Layer]
    number: int | None
    check: Check | None

    def run(self) -> None:
        """Run the check."""
        where = f"{origin_of(self.part)}: {self.part.__name__}"
        if "examples" not in vars(self.part) or not self.part.examples:
            raise PartError(f"{where} says no examples: add examples = (Example(),) to the class, with the parameters and shapes it needs")
        if self.number is not None:
            where = f"{where}, {call_string(self.part.examples[self.number])}"
        known = self.part.__name__ in known_types() and layer_class(self.part.__name__, "", "") is self.part
        try:
            with nullcontext() if known else registered(self.part):
                if self.number is None or self.check is None:
                    says_whether_it_has_weights(self.part)
                else:
                    self.check(layer_bench(self.part, self.part.examples[self.number]))
        except PartError as problem:
            raise PartError(f"{where}: {problem}") from problem
        except Exception as problem:
            name = "says_whether_it_has_weights" if self.check is None else self.check.__name__
            text = str(problem).strip().partition("\n")[0]
            raise PartError(f"{where}: {name.replace('_', ' ')}: {type(problem).__name__}: {text}") from problem

    def __str__(self) -> str:
        return self.part.__name__ if self.check is None else f"{self.part.__name__}-{self.number}-{self.check.__name__}"


def layer_cases_of(part: type[Layer]) -> Iterator[LayerCase]:
    """Yield the check of the class, and every check with every example; only the first where it has none, which fails."""
    yield LayerCase(part, None, None)
    for number in range(len(vars(part).get("examples", ()))):
        for check in CHECKS:
            yield LayerCase(part, number, check)


def layer_cases() -> Iterator[LayerCase]:
    """Yield every check of every layer type that is built in."""
    for part in built_in_layers():
        yield from layer_cases_of(part)


def built_in_layers() -> list[type[Layer]]:
    """Return the layer types of ``dreamopt/engine/layers/``, in alphabetical order."""
    types = [layer_class(name, "", "") for name in known_types()]
    return [part for part in types if part.__module__.startswith("dreamopt.engine.layers.")]
