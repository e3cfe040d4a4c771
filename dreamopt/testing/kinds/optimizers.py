"""Optimizers: uphill, without side effects, sample by sample, the same at any scale of the input, their state in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dreamopt.optimize.optimizer import LineSearch, Optimizer, SearchContext, State, optimizers, parse_optimizer
from dreamopt.optimize.plain_file import pack, unpack
from dreamopt.parts.schedule import StepContext
from dreamopt.testing.bench import Bench
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.kind import Kind, require, require_close

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]


def _params() -> Tensor:
    return torch.randn(3, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def hill(params: Tensor, unit: float = 1.0) -> Evaluate:
    """Return a function of parameters that gives -(p - target)^2 / 2 in grey levels, and its gradient; each number has its own target."""
    target = torch.linspace(-9, 7, params[0].numel(), dtype=params.dtype).reshape(params.shape[1:])

    def evaluate(p: Tensor) -> tuple[Tensor, Tensor]:
        far = target - p / unit
        # Row by row: a sum over a batch may run in another order than one over a sample.
        return torch.stack([-row.square().sum() / 2 for row in far]), far / unit

    return evaluate


def one_step(
    optimizer: Optimizer, evaluate: Evaluate, params: Tensor, state: State, step: int, steps: int, unit: float = 1.0
) -> tuple[Tensor, State]:
    """Return the parameters and the state after one step, or one line search."""
    values, gradient = evaluate(params)
    context = StepContext(step, steps, values=values)
    if isinstance(optimizer, LineSearch):
        return optimizer.search(params, gradient, state, SearchContext(evaluate, context, unit))
    return optimizer.step(params, gradient, state, context, unit)


def ascend(optimizer: Optimizer, params: Tensor, steps: int = 6, unit: float = 1.0) -> Tensor:
    """Return the parameters after so many steps up the hill."""
    evaluate, state = hill(params, unit), optimizer.start(params)
    stride = optimizer.stride if isinstance(optimizer, LineSearch) else 1
    for step in range(0, steps, stride):
        params, state = one_step(optimizer, evaluate, params, state, step, steps, unit)
    return params


def _flat(value: object) -> list[Any]:
    if isinstance(value, dict):
        return [entry for key in sorted(value) for entry in _flat(value[key])]
    if isinstance(value, list | tuple):
        return [entry for member in value for entry in _flat(member)]
    return [value]


def _same(one: object, other: object) -> bool:
    pairs = zip(_flat(one), _flat(other), strict=True)
    return all(torch.equal(a.nan_to_num(7), b.nan_to_num(7)) if isinstance(a, Tensor) else a == b for a, b in pairs)


def _through_a_file(state: object) -> Any:
    return unpack(pack(state), "the state")


def goes_uphill_and_touches_nothing(optimizer: Optimizer, bench: Bench) -> None:
    """Require that the first step goes up, that parameters and state stay as they were, and the same step gives the same."""
    params = _params()
    evaluate, state = hill(params), optimizer.start(params)
    for step in range(3):
        before = _through_a_file([params, dict(state)])
        moved, after = one_step(optimizer, evaluate, params, state, step, 4)
        if step == 0:
            gains = ((moved - params) * evaluate(params)[1]).flatten(1).sum(1)
            require(gains.min() > 0, f"the first step goes downhill in a sample: {gains.tolist()}")
        require(moved.shape == params.shape and moved.dtype == params.dtype, f"a step gives {moved.dtype} {tuple(moved.shape)}")
        require(_same([params, dict(state)], before), "a step changes the parameters or the state that it is given")
        require(after.keys() == state.keys(), f"the state has {sorted(after)} after a step, and had {sorted(state)}")
        again, after_again = one_step(optimizer, evaluate, params, state, step, 4)
        require(torch.equal(moved, again) and _same(dict(after), dict(after_again)), "the same step twice gives two results")
        params, state = moved, after


def goes_on_from_a_file(optimizer: Optimizer, bench: Bench) -> None:
    """Require that a state written to a checkpoint and read again goes on to the same bits."""
    params = _params()
    evaluate, state = hill(params), optimizer.start(params)
    for step in range(3):
        params, state = one_step(optimizer, evaluate, params, state, step, 4)
    read = _through_a_file(dict(state))
    require(_same(dict(state), read), "the state changes in a file")
    results = (one_step(optimizer, evaluate, params, memory, 3, 4) for memory in (state, read))
    for one, other in zip(*results, strict=True):
        require(_same(one, other), "a step after the file differs from one without it")


def selects_states_by_sample(optimizer: Optimizer, bench: Bench) -> None:
    """Require that `where` takes each sample's memory from one state or another."""
    params = _params()
    evaluate, before = hill(params), optimizer.start(params)
    _, early = one_step(optimizer, evaluate, params, before, 0, 4)
    moved, late = one_step(optimizer, evaluate, params + 1, early, 1, 4)
    mixed = optimizer.where(torch.tensor([True, False, True]), late, early)
    made, _ = one_step(optimizer, evaluate, moved, mixed, 2, 4)
    for i, state in enumerate((late, early, late)):
        expected, _ = one_step(optimizer, evaluate, moved, state, 2, 4)
        require_close(made[i], expected[i], f"sample {i} with its own state among others", rtol=1e-14, atol=1e-14)


def acts_sample_by_sample(optimizer: Optimizer, bench: Bench) -> None:
    """Require that a sample of a batch is, to the bit, that sample alone."""
    params = _params()
    together = ascend(optimizer, params)
    for i in range(3):
        require_close(together[i : i + 1], ascend(optimizer, params[i : i + 1]), f"sample {i} alone and in the batch")


def counts_grey_levels(optimizer: Optimizer, bench: Bench) -> None:
    """Require that steps are grey levels, whatever the length of one in the parameters."""
    params = _params()
    expected = ascend(optimizer, params)
    for unit in (1 / 128, 0.017, 3.0):
        made = ascend(optimizer, params * unit, unit=unit) / unit
        require_close(made, expected, f"parameters in grey levels, one of {unit} long", rtol=1e-7, atol=1e-7)


def stands_still_without_gradient(optimizer: Optimizer, bench: Bench) -> None:
    """Require that a sample without gradient does not move while others do, unless ``moves_without_gradient``."""
    params = _params()
    evaluate = hill(params)

    def flat_in_the_middle(p: Tensor) -> tuple[Tensor, Tensor]:
        values, gradient = evaluate(p)
        return values, gradient * torch.tensor([1.0, 0.0, 1.0], dtype=p.dtype).reshape(3, 1, 1, 1)

    moved, _ = one_step(optimizer, flat_in_the_middle, params, optimizer.start(params), 0, 6, 0.3)
    still, said = torch.equal(moved[1], params[1]), optimizer.moves_without_gradient
    require(still != said, f"a sample without gradient {'stays' if still else 'moves'}, but moves_without_gradient is {said}")
    require(not torch.equal(moved[0], params[0]), "samples with a gradient do not move")


KIND = Kind(
    "optimizers",
    optimizers,
    parse_optimizer,
    (
        is_immutable,
        prints_what_makes_it(parse_optimizer),
        refuses_numbers_that_are_none,
        goes_uphill_and_touches_nothing,
        goes_on_from_a_file,
        selects_states_by_sample,
        acts_sample_by_sample,
        counts_grey_levels,
        stands_still_without_gradient,
    ),
)
