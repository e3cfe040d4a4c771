"""What every optimizer holds, by existing: uphill, pure, item by item, whatever the scale of the input."""

import dataclasses

import numpy as np
import pytest
import torch

from dreamopt.errors import UsageError
from dreamopt.optimize import Adam, Ascent, Constant, Geometric, Linear, Moment, Optimizer
from dreamopt.registry import optimizers
from dreamopt.schedule import at

# A new optimizer fails here until it has an entry.
EXAMPLES: dict[str, list[Optimizer]] = {
    "Adam": [Adam(), Adam(Linear(3, 1), beta1=0.5), Adam(0.5, beta1=0, beta2=0.9, epsilon=1e-3)],
    "Ascent": [
        Ascent(),
        Ascent(0.7, norm="l2"),
        Ascent(Geometric(2, 0.5), norm="std"),
        Ascent(0.1, norm="none"),
        Ascent(1, momentum=0.9),
        Ascent(0.1, norm="none", momentum=0.5),
    ],
}
ALL = [pytest.param(o, id=str(o)) for examples in EXAMPLES.values() for o in examples]


def climb(optimizer: Optimizer, params: torch.Tensor, steps: int = 6, unit: float = 1.0) -> torch.Tensor:
    """Climb -(p - target)^2 / 2 in grey levels, with targets of its own for each item and number."""
    target = torch.linspace(-9, 7, params[0].numel(), dtype=params.dtype).reshape(params.shape[1:])
    state = optimizer.start(params)
    for step in range(steps):
        gradient = (target - params / unit) / unit
        params, state = optimizer.step(params, gradient, state, Moment(step, steps), unit)
    return params


@pytest.fixture
def params() -> torch.Tensor:
    return torch.randn(3, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_every_optimizer_has_an_example() -> None:
    assert {plugin.make.__name__ for plugin in optimizers} == set(EXAMPLES)


@pytest.mark.parametrize("optimizer", ALL)
def test_goes_uphill_and_touches_nothing(optimizer: Optimizer, params: torch.Tensor) -> None:
    gradient = torch.randn_like(params)
    state = optimizer.start(params)
    kept = [t.clone() for t in (params, gradient, *state.values())]
    moved, after = optimizer.step(params, gradient, state, Moment(0, 4), 1.0)
    assert ((moved - params) * gradient).flatten(1).sum(1).min() > 0
    assert moved.shape == params.shape
    assert moved.dtype == params.dtype
    for now, before in zip((params, gradient, *state.values()), kept, strict=True):
        assert torch.equal(now, before)
    assert after.keys() == state.keys()
    again, _ = optimizer.step(params, gradient, state, Moment(0, 4), 1.0)
    assert torch.equal(moved, again)


@pytest.mark.parametrize("optimizer", ALL)
def test_an_item_alone_climbs_as_in_a_batch(optimizer: Optimizer, params: torch.Tensor) -> None:
    together = climb(optimizer, params)
    for i in range(3):
        assert torch.equal(climb(optimizer, params[i : i + 1]), together[i : i + 1])


@pytest.mark.parametrize("optimizer", ALL)
@pytest.mark.parametrize("unit", [1 / 128, 0.017, 3.0])
def test_steps_are_grey_levels_at_any_scale(optimizer: Optimizer, params: torch.Tensor, unit: float) -> None:
    torch.testing.assert_close(climb(optimizer, params * unit, unit=unit) / unit, climb(optimizer, params))


@pytest.mark.parametrize("optimizer", ALL)
def test_no_gradient_no_step(optimizer: Optimizer, params: torch.Tensor) -> None:
    moved, _ = optimizer.step(params, torch.zeros_like(params), optimizer.start(params), Moment(), 1.0)
    assert torch.equal(moved, params)


@pytest.mark.parametrize("optimizer", ALL)
def test_optimizers_cannot_be_changed(optimizer: Optimizer) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimizer.step_size = 3  # type: ignore[attr-defined]


def test_adam_is_torchs(params: torch.Tensor) -> None:
    mine, theirs = params.clone(), params.clone().requires_grad_()
    optimizer, reference = Adam(0.3, 0.8, 0.95, 1e-3), torch.optim.Adam([theirs], 0.3, (0.8, 0.95), 1e-3, maximize=True)
    state = optimizer.start(mine)
    for step in range(20):
        mine, state = optimizer.step(mine, (2 - mine).sin(), state, Moment(step, 20), 1.0)
        theirs.grad = (2 - theirs.detach()).sin()
        reference.step()
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_momentum_is_torchs(params: torch.Tensor) -> None:
    mine, theirs = params.clone(), params.clone().requires_grad_()
    optimizer, reference = Ascent(0.3, "none", 0.7), torch.optim.SGD([theirs], 0.3, 0.7, maximize=True)
    state = optimizer.start(mine)
    for step in range(20):
        mine, state = optimizer.step(mine, (2 - mine).sin(), state, Moment(step, 20), 1.0)
        theirs.grad = (2 - theirs.detach()).sin()
        reference.step()
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_deepdreams_step_moves_by_the_step_on_average(params: torch.Tensor) -> None:
    moved, _ = Ascent(1.5).step(params, torch.randn_like(params) * 1e-6, {}, Moment(), 1.0)
    np.testing.assert_allclose((moved - params).abs().mean((1, 2, 3)), 1.5)


def test_schedules() -> None:
    moments = [Moment(i, 4) for i in range(4)]
    assert [at(2, m) for m in moments] == [at(Constant(2), m) for m in moments] == [2.0] * 4
    np.testing.assert_allclose([at(Linear(11, 3), m) for m in moments], [11, 9, 7, 5])
    np.testing.assert_allclose([at(Linear(11, 5, inclusive=True), m) for m in moments], [11, 9, 7, 5])
    np.testing.assert_allclose([at(Geometric(8, 1, inclusive=True), m) for m in moments], [8, 4, 2, 1])
    assert at(Linear(7, 1, inclusive=True), Moment(0, 1)) == 7
    with pytest.raises(UsageError, match="needs both ends above 0, not 0 and 1"):
        Geometric(0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0), "step of Adam must be above 0, not 0"),
        (lambda: Adam(beta2=1), "beta2 of Adam must be from 0 to below 1, not 1"),
        (lambda: Adam(epsilon=0), "epsilon of Adam must be above 0"),
        (lambda: Ascent(-1), "step of Ascent must be above 0, not -1"),
        (lambda: Ascent(norm="max"), "must be mean, l2, std or none, not 'max'"),  # type: ignore[arg-type]
        (lambda: Ascent(momentum=1), "momentum of Ascent must be from 0 to below 1, not 1"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()
