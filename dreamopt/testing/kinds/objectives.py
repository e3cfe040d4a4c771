"""Objectives: one value per sample, true gradients, batches of units, algebra, strings, binding."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective import Block, Objective, each, objectives, parse
from dreamopt.testing.bench import Bench
from dreamopt.testing.dataclass_checks import is_immutable, refuses_numbers_that_are_none
from dreamopt.testing.gradients import require_gradient
from dreamopt.testing.kind import Kind, require, require_close, require_error


def has_one_value_per_sample(objective: Objective, bench: Bench) -> None:
    """Require that each sample has a value of its own, that of the sample alone; the same activations give the same values."""
    bound, activations = objective.bind(bench.network), bench.activations()
    before = {name: a.clone() for name, a in activations.items()}
    values = bound(activations)
    require(values.shape == (3,), f"its values have the shape {tuple(values.shape)}, not (3,)")
    require(bound.batch == objective.batch, "bound to a network it prescribes another batch")
    require(bound.batch in (None, 3), f"the example is for a batch of {bound.batch}; examples are for 3 samples, or for any number")
    require_close(bound(activations), values, "the same activations twice")
    require(all(torch.equal(before[name], activations[name]) for name in before), "it changes the activations that it is given")
    if bound.coupled:
        return
    for i in range(3):
        alone = bound.item(i)
        require(alone.batch is None, f"item({i}) prescribes a batch of {alone.batch}")
        require_close(alone(_sample(activations, i)), values[i : i + 1], f"sample {i} alone and in the batch", rtol=1e-14)


def is_a_batch_of_its_items(objective: Objective, bench: Bench) -> None:
    """Require that where it prescribes a batch, each sample's objective is one of its own, bound already."""
    if objective.batch is None or objective.coupled:
        return
    many, activations = objective.bind(bench.network), bench.activations()
    first = many.item(0)
    require(objective.item(0).bind(bench.network) == first, "the item that is bound is not the bound one's item")
    require(first.item(2) == first, "an item alone is not its own item")
    require(many.item(1).bind(bench.network) == many.item(1), "binding an item again changes it")
    require_close(first(_sample(activations, 0)), many(activations)[:1], "item 0 alone and in the batch")
    values = first(activations)
    require(len({value.item() for value in values}) == 3, "item 0 has the same value for different activations")
    if many.item(2) != first:
        require(not torch.equal(values[1:], many(activations)[1:]), "all samples have item 0's value")


def compares_samples_where_coupled(objective: Objective, bench: Bench) -> None:
    """Require that where it compares samples, one alone has none, their order does not matter, and it can't be that of a single sample."""
    if not objective.coupled:
        return
    bound, activations = objective.bind(bench.network), bench.activations()
    values = bound(activations)
    require(bound.batch is None and bound.coupled, "bound to a network it prescribes a batch, or is not coupled")
    require((2 * bound - bound).coupled, "a sum with it is not coupled")
    require(values.abs().min() > 1e-3, f"its values {values.tolist()} are all but zero for samples that differ")
    require(not bound({k: a.detach().requires_grad_() for k, a in _sample(activations, 1).items()}).any(), "a sample alone has a value")
    turned = bound({name: a.flip(0) for name, a in activations.items()})
    require_close(turned, values.flip(0), "samples in the other order", rtol=1e-13)
    require_error(
        lambda: each([objective, objective]).bind(bench.network), ObjectiveError, "a sample's own", "compares the items of a batch"
    )


def has_its_gradient(objective: Objective, bench: Bench) -> None:
    """Require that the gradient is that of finite differences, or finite where the class says that it follows a rule instead."""
    bound, activations = objective.bind(bench.network), bench.activations()
    leaves = [activations[name].detach().requires_grad_() for name in bound.layers]
    require(bound.gradient in ("derivative", "rule"), f"gradient is 'derivative' or 'rule', not {bound.gradient!r}")
    if bound.gradient == "derivative":
        require_gradient(lambda *a: bound(dict(zip(bound.layers, a, strict=True))), leaves)
    else:
        gradients = torch.autograd.grad(bound(dict(zip(bound.layers, leaves, strict=True))).sum(), leaves)
        require(all(torch.isfinite(g).all() and g.any() for g in gradients), "the gradient is zero or not finite")


def adds_up_over_places(objective: Objective, bench: Bench) -> None:
    """Require that where it says so, the parts of a map's blocks add up to its value, and their gradients to its gradient."""
    bound, activations = objective.bind(bench.network), bench.activations()
    require(bound.additive in (None, "sum", "mean"), f"additive is 'sum', 'mean' or None, not {bound.additive!r}")
    if bound.additive is None or any(activations[name].dim() != 4 for name in bound.layers):
        return
    leaves = {name: activations[name].detach().requires_grad_() for name in bound.layers}
    values = bound(leaves)
    parts = []
    for name, a in leaves.items():
        height, width = a.shape[2:]
        for rows in ((0, 1), (1, height // 2), (height // 2, height)):
            for columns in ((0, width // 3), (width // 3, width)):
                block = Block(rows, columns, (height, width))
                parts.append(bound.part(name, block.of(a), block))
                require(parts[-1].shape == values.shape, f"part() gives the shape {tuple(parts[-1].shape)}, not {tuple(values.shape)}")
    total = torch.stack(parts).sum(0)
    require_close(total, values, "the sum of the blocks' parts and the value", rtol=1e-12, atol=1e-12)
    expected = torch.autograd.grad(values.sum(), list(leaves.values()))
    for gradient, other in zip(torch.autograd.grad(total.sum(), list(leaves.values())), expected, strict=True):
        require_close(gradient, other, "the gradient of the blocks' parts and the value's", rtol=1e-12, atol=1e-12)


def reads_its_window(objective: Objective, bench: Bench) -> None:
    """Require that where it says which window of a map it reads, the window alone gives its value and all of its gradient."""
    activations = bench.activations()
    shapes = {name: tuple(a.shape[1:]) for name, a in activations.items()}
    bound = objective.bind(bench.network)
    for i in range(next(iter(activations.values())).shape[0]):
        one = bound if bound.batch is None else bound.item(i)
        found = one.windowed(shapes)
        if found is None:
            continue
        leaves = {name: activations[name][i : i + 1].detach().requires_grad_() for name in one.layers}
        value, part = one(leaves), found.objective({name: block.of(leaves[name]) for name, block in found.blocks.items()})
        require_close(part, value, "the value of the window alone and of all", rtol=1e-12, atol=1e-12)
        require(set(found.blocks) == set(one.layers), f"windowed() gives windows of {sorted(found.blocks)}, not of {sorted(one.layers)}")
        expected = torch.autograd.grad(value.sum(), list(leaves.values()))
        for gradient, other in zip(torch.autograd.grad(part.sum(), list(leaves.values())), expected, strict=True):
            require_close(gradient, other, "the gradient of the window alone and of all", rtol=1e-12, atol=1e-12)


def keeps_samples_apart(objective: Objective, bench: Bench) -> None:
    """Require that a sample's value has a gradient at that sample alone."""
    if objective.coupled:
        return
    bound, activations = objective.bind(bench.network), bench.activations()
    leaves = {name: activations[name].detach().requires_grad_() for name in bound.layers}
    for name, gradient in zip(leaves, torch.autograd.grad(bound(leaves)[1], list(leaves.values())), strict=True):
        require(gradient[1].any(), f"sample 1 has no gradient at layer '{name}'")
        require(not gradient[[0, 2]].any(), f"sample 1's value has a gradient at other samples of '{name}'")


def is_finite_at_zero(objective: Objective, bench: Bench) -> None:
    """Require that after a ReLU whole columns are zero: value and gradient stay finite, no length may divide by that."""
    bound, activations = objective.bind(bench.network), bench.activations()
    leaves = {name: torch.zeros_like(activations[name]).requires_grad_() for name in bound.layers}
    values = bound(leaves)
    require(torch.isfinite(values).all(), f"activations of zero have the values {values.tolist()}")
    gradients = torch.autograd.grad(values.sum(), list(leaves.values()), allow_unused=True)
    require(all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients), "the gradient at zero is not finite")


def follows_the_activations_type(objective: Objective, bench: Bench) -> None:
    """Require that values have the activations' type, and only the layers that it names are read; is_argmax is one bool a sample."""
    bound, activations = objective.bind(bench.network), bench.activations()
    values = bound({name: activations[name].float() for name in bound.layers})
    require(values.dtype == torch.float32, f"values of float32 activations are {values.dtype}")
    require_close(values.double(), bound(activations), "float32 and float64", rtol=2e-5, atol=1e-6)
    highest = bound.is_argmax(activations)
    require(highest is None or (highest.dtype == torch.bool and highest.shape == (3,)), "is_argmax must give (N,) of bool, or None")


def adds_and_scales(objective: Objective, bench: Bench) -> None:
    """Require that objectives add, subtract, and are multiplied and divided by numbers; operands stay as they are."""
    before, activations = str(objective), bench.activations()
    a, b = objective.bind(bench.network), parse('channel("conv1", 1)').bind(bench.network)
    own, other = a(activations), b(activations)
    sums = (
        (2 * a - b, 2 * own - other),
        (-a + 0.5 * (a + b), 0.5 * other - 0.5 * own),
        (3 * (a * 2), 6 * own),
        (a / 4 - (b + a) / np.float32(2), -own / 4 - other / 2),
        (sum([a, b, a]), 2 * own + other),
    )
    for made, expected in sums:
        require(isinstance(made, Objective), f"{made!r} is no objective")
        require_close(made(activations), expected, str(made), rtol=1e-7, atol=1e-7)  # type: ignore[operator]  # as just seen
    require((a + b).batch == a.batch, "a sum with it is for another batch")
    require((2 * a - b).item(1) == 2 * a.item(1) - b, "a sum's item is not the sum of the items")
    require(str(objective) == before, "an operation changed it")
    for wrong in (lambda: a + 1, lambda: 1 / a, lambda: a * a):  # type: ignore[operator]  # refused, as is checked
        require_error(wrong, TypeError, "an operation without meaning")
    for bad in (lambda: a / 0, lambda: a * float("nan"), lambda: float("inf") * a):
        require_error(bad, ObjectiveError, "a factor that is not finite", "")


def prints_and_is_read_back(objective: Objective, bench: Bench) -> None:
    """Require that printing it gives a string that makes an equal one; a class by number may come back as the channel that it is."""
    text = str(objective)
    again = parse(text)
    require(str(again) == text, f"{text} is printed again as {again}")
    # Where the types differ, `reads_back_within_sums` holds the values against each other.
    if type(again) is type(objective):
        require(again == objective, f"{text} makes another part, {again}")
        require(hash(again) == hash(objective), f"{text} makes a part of another hash")


def reads_back_within_sums(objective: Objective, bench: Bench) -> None:
    """Require that its string stands in sums, products and lists of one for each sample; bound, what is read back has the same values."""
    text, activations = str(objective), bench.activations()
    for whole in (f"2.5*{text} - {text}", f"-({text} + 0.1*{text})", f"{text} | -{text} + {text}"):
        again = parse(whole)
        require(str(again) == whole, f"{whole} is printed as {again}")
        require(parse(str(again)) == again, f"{whole} is read back as another")
        require(hash(again) == hash(parse(str(again))), f"{whole} is read back with another hash")
    read = parse(text).bind(bench.network)
    require(str(read) == str(objective.bind(bench.network)), "what is read back is bound to something else")
    require_close(read(activations), objective.bind(bench.network)(activations), "what is read back and the part")


def binds_once_and_for_all(objective: Objective, bench: Bench) -> None:
    """Require that bound twice it stays the same; what is bound pickles."""
    bound, activations = objective.bind(bench.network), bench.activations()
    again = bound.bind(bench.network)
    require(again == bound, "binding it again changes it")
    require_close(again(activations), bound(activations), "bound once and twice")
    thawed = pickle.loads(pickle.dumps(bound))
    require(thawed == bound and hash(thawed) == hash(bound), "a pickled one is not equal to it")
    require_close(thawed(activations), bound(activations), "pickled and bound")


def refuses_wrong_layers_and_batches(objective: Objective, bench: Bench) -> None:
    """Require that an unknown layer is refused with the nearest name, another batch with both numbers."""
    if len(objective.layers) == 1 and any(field.name == "layer" for field in dataclasses.fields(objective)):  # type: ignore[arg-type]  # a part is a dataclass
        moved: Any = dataclasses.replace(objective, layer="cnov2")  # type: ignore[type-var]  # as just seen
        require_error(lambda: moved.bind(bench.network), TargetError, "layer 'cnov2'", "no layer 'cnov2'; did you mean conv2")
    if objective.batch is not None:
        two = {name: a[:2] for name, a in bench.activations().items()}
        bound = objective.bind(bench.network)
        require_error(lambda: bound(two), ObjectiveError, "a batch of 2", f"for a batch of {objective.batch}, but the batch has 2 items")


def _sample(activations: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    return {name: a[index : index + 1] for name, a in activations.items()}


def has_examples_that_differ(part: type, made: Sequence[Objective], bench: Bench) -> None:
    """Require that no two of its examples are equal."""
    require(len(set(made)) == len(made), "two of its examples are equal")


KIND = Kind(
    "objectives",
    objectives,
    parse,
    (
        is_immutable,
        prints_and_is_read_back,
        refuses_numbers_that_are_none,
        has_one_value_per_sample,
        is_a_batch_of_its_items,
        compares_samples_where_coupled,
        has_its_gradient,
        keeps_samples_apart,
        adds_up_over_places,
        reads_its_window,
        is_finite_at_zero,
        follows_the_activations_type,
        adds_and_scales,
        reads_back_within_sums,
        binds_once_and_for_all,
        refuses_wrong_layers_and_batches,
    ),
    (has_examples_that_differ,),
)
