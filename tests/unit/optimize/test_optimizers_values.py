"""Numbers of the optimizers: those of torch, of scipy and of published programs; settings that are refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds, minimize

from dreamopt.errors import OptimizeError, UsageError
from dreamopt.optimize import (
    LBFGS,
    Adam,
    AdamW,
    Ascent,
    Constant,
    Geometric,
    Linear,
    LineSearch,
    Momentum,
    NAdam,
    Optimizer,
    Piecewise,
    Plain,
    Progressive,
    Progressive01,
    RMSprop,
    Scipy,
    State,
    StepContext,
    Torch,
)
from dreamopt.optimize.optimizer import Evaluate, SearchContext, parse_optimizer
from dreamopt.parts.renamed import renamed
from dreamopt.parts.schedule import at
from tests.support.names import name_of

Question = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def question(params: torch.Tensor, unit: float = 1.0) -> Question:
    """Return values and gradient of -(p - target)^2 / 2 in grey levels, with targets of its own for each number."""
    target = torch.linspace(-9, 7, params[0].numel(), dtype=params.dtype).reshape(params.shape[1:])

    def evaluate(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        far = target - p / unit
        # Row by row: a sum over a batch may run in another order than one over an item.
        return torch.stack([-row.square().sum() / 2 for row in far]), far / unit

    return evaluate


def search_of(
    optimizer: LineSearch,
    evaluate: Evaluate,
    params: torch.Tensor,
    gradient: torch.Tensor,
    state: State,
    step: StepContext,
    unit: float = 1.0,
    bounds: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
) -> tuple[torch.Tensor, State]:
    return optimizer.search(params, gradient, state, SearchContext(evaluate, step, unit, bounds))


@pytest.fixture
def params() -> torch.Tensor:
    return torch.randn(3, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_adam_is_torchs(params: torch.Tensor) -> None:
    mine, theirs = params.clone(), params.clone().requires_grad_()
    optimizer, reference = Adam(0.3, 0.8, 0.95, 1e-3), torch.optim.Adam([theirs], 0.3, (0.8, 0.95), 1e-3, maximize=True)
    state = optimizer.start(mine)
    for step in range(20):
        mine, state = optimizer.step(mine, (2 - mine).sin(), state, StepContext(step, 20), 1.0)
        theirs.grad = (2 - theirs.detach()).sin()
        reference.step()
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_adam_counts_each_sample_by_itself() -> None:
    optimizer, generator = Adam(0.3, 0.8, 0.95, 1e-3), torch.Generator().manual_seed(0)
    params, gradient = (torch.randn(3, 4, 5, generator=generator) for _ in range(2))
    state = optimizer.start(params)
    for count in range(3):  # the first sample has been rolled back once
        moved, after = optimizer.step(params, gradient, state, StepContext(count), 1.0)
        params, state = (params, state) if count == 0 else (moved, after)
        state = {**state, "count": torch.tensor([count, count + 1.0, count + 1.0], dtype=torch.float64)}
    together, _ = optimizer.step(params, gradient, state, StepContext(3), 1.0)
    for k in range(3):
        own = {key: value[k : k + 1] for key, value in state.items()}
        alone, _ = optimizer.step(params[k : k + 1], gradient[k : k + 1], own, StepContext(3), 1.0)
        assert torch.equal(alone, together[k : k + 1])
    same, _ = optimizer.step(params, gradient, {**state, "count": torch.full((3,), 3.0)}, StepContext(3), 1.0)
    assert torch.equal(same[1:], together[1:])
    assert not torch.equal(same[0], together[0])


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        (AdamW(0.3, 0.8, 0.95, 1e-3, 0.1), lambda p: torch.optim.AdamW([p], 0.3, (0.8, 0.95), 1e-3, 0.1, maximize=True)),
        (NAdam(0.3, 0.8, 0.95, 1e-3, 0.01), lambda p: torch.optim.NAdam([p], 0.3, (0.8, 0.95), 1e-3, 0, 0.01, maximize=True)),
        (RMSprop(0.3, 0.8, 1e-3, inside=False), lambda p: torch.optim.RMSprop([p], 0.3, 0.8, 1e-3, maximize=True)),
        (Momentum(0.3, 0.7), lambda p: torch.optim.SGD([p], 0.3, 0.7, maximize=True)),
        (Plain(0.3), lambda p: torch.optim.SGD([p], 0.3, maximize=True)),
        (Torch("RAdam", 0.3, betas=(0.8, 0.95)), lambda p: torch.optim.RAdam([p], 0.3, (0.8, 0.95), maximize=True)),
        (Torch("Adagrad", 0.3, lr_decay=0.1), lambda p: torch.optim.Adagrad([p], 0.3, 0.1, maximize=True)),
        (Torch("SGD", 0.3, momentum=0.5, weight_decay=0.1), lambda p: torch.optim.SGD([p], 0.3, 0.5, weight_decay=0.1)),
    ],
    ids=name_of,
)
def test_the_numbers_are_torchs(optimizer: Optimizer, reference: Callable[..., torch.optim.Optimizer], params: torch.Tensor) -> None:
    mine, theirs = params.clone(), params.clone().requires_grad_()
    state, other = optimizer.start(mine), reference(theirs)
    sign = 1 if other.defaults["maximize"] else -1
    for step in range(20):
        mine, state = optimizer.step(mine, (2 - mine).sin(), state, StepContext(step, 20), 1.0)
        theirs.grad = sign * (2 - theirs.detach()).sin()
        other.step()
    # torch keeps the product of NAdam's momenta in single precision.
    accuracy = 1e-6 if isinstance(optimizer, NAdam) else 1e-12
    torch.testing.assert_close(mine, theirs.detach(), rtol=accuracy, atol=accuracy)


def wavy(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a function with many hilltops, and its gradient."""
    leaf = p.detach().requires_grad_()
    wide = torch.linspace(0.5, 2, p[0].numel(), dtype=p.dtype).reshape(p.shape[1:])
    values = ((leaf * wide).cos() - 0.05 * leaf.square()).flatten(1).sum(1)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient


def hill(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a function with one hilltop, beyond some bounds, and its gradient, in sums and products alone."""
    wide = torch.linspace(0.5, 2, p[0].numel(), dtype=p.dtype).reshape(p.shape[1:])
    far = p - torch.linspace(-2, 2, p[0].numel(), dtype=p.dtype).reshape(p.shape[1:])
    values = torch.stack([-row.sum() for row in wide * far * far / 2 + 0.05 * far * far * far * far])
    return values, -(wide * far + 0.2 * far * far * far)


# Without a line search nobody has asked for the gradient at a search's end, and the next one leaves out a pair.
@pytest.mark.parametrize(("search", "starts", "resample_every"), [("strong_wolfe", (0, 5, 10), 5), ("none", (0,), 15)])
def test_lbfgs_is_torchs(search: str, starts: tuple[int, ...], resample_every: int, params: torch.Tensor) -> None:
    optimizer = LBFGS(0.9, resample_every, 4, search)  # type: ignore[arg-type]
    mine, state = params, optimizer.start(params)
    for step in starts:
        values, gradient = wavy(mine)
        mine, state = search_of(optimizer, wavy, mine, gradient, state, StepContext(step, 15, values=values))
    for i in range(3):
        leaf = params[i].flatten().clone().requires_grad_()
        scale = wavy(params[i : i + 1])[1].abs().max()
        other = torch.optim.LBFGS([leaf], 0.9, resample_every, history_size=4, line_search_fn=None if search == "none" else search)

        def closure(leaf: torch.Tensor = leaf, scale: torch.Tensor = scale) -> torch.Tensor:
            value, slope = wavy(leaf.reshape(1, *params.shape[1:]))
            leaf.grad = -slope.flatten() / scale
            return -value[0] / scale

        for _ in starts:
            other.step(closure)
        torch.testing.assert_close(mine[i].flatten(), leaf.detach(), rtol=1e-9, atol=1e-9)


# Among many hilltops trust-constr's path doubles a rounding again and again: noise of 1e-15 in the gradient moves its end by 0.9. On one
# hill it moves by 1e-14, so that the comparison holds on every processor; for the others wavy moves by 4e-9 at most.
@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"])
def test_scipys_methods_are_scipys(method: str, params: torch.Tensor) -> None:
    function = hill if method == "trust-constr" else wavy
    low, high, bounded = -1.5, torch.full(params.shape[1:], 1.7, dtype=params.dtype), method not in ("CG", "BFGS")
    params = params.clamp(low, 1.7)
    values, gradient = function(params)
    bounds = (torch.tensor(low, dtype=params.dtype), high)
    mine, _ = search_of(Scipy(method, 7), function, params, gradient, {}, StepContext(0, 99, values=values), 1.0, bounds)
    if bounded:
        assert (mine >= low - 1e-12).all()
        assert (mine <= 1.7 + 1e-12).all()
    for i in range(3):
        scale, seen, count = float(gradient[i].abs().max()), [], 0

        def f(x: np.ndarray, scale: float = scale, seen: list = seen) -> tuple[float, np.ndarray]:
            value, slope = function(torch.from_numpy(x.copy()).reshape(1, *params.shape[1:]))
            seen.append((-float(value[0]) / scale, x.copy()))
            return seen[-1][0], -slope.flatten().numpy() / scale

        def stop(x: np.ndarray) -> None:
            nonlocal count
            count += 1
            if method == "TNC" and count == 7:
                raise InterruptedError

        more = {"bounds": Bounds(np.full(40, low), np.full(40, 1.7))} if bounded else {}
        try:
            with np.errstate(all="ignore"):
                minimize(f, params[i].flatten().numpy(), jac=True, method=method, callback=stop if method == "TNC" else None,
                         options={"maxfun": 700} if method == "TNC" else {"maxiter": 7}, **more)  # fmt: skip
        except InterruptedError:
            pass
        best = min(seen, key=lambda pair: pair[0])
        reach = np.abs(best[1] - seen[0][1]).max()
        assert reach > 0.5
        np.testing.assert_allclose(mine[i].flatten().numpy(), best[1], rtol=0, atol=1e-7 * reach)
        assert best[0] < seen[0][0]


def test_items_that_search_differently_long_do_not_touch(params: torch.Tensor) -> None:
    """One starts on its hilltop, one is a step away, one is far: each asks another number of questions."""
    target = torch.linspace(-9, 7, 40, dtype=params.dtype).reshape(params.shape[1:])
    starts = torch.stack([target, target + 1e-9 * params[0], params[2] * 50])
    asked: list[int] = []

    def counted(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(p))
        return question(params)(p)

    for optimizer in (Scipy(), Scipy("BFGS"), LBFGS()):
        together = search_of(optimizer, counted, starts, counted(starts)[1], optimizer.start(starts), StepContext(0, 50), 0.25)[0]
        assert set(asked) == {3}
        for i in range(3):
            alone = starts[i : i + 1]
            expected = search_of(
                optimizer, question(params), alone, question(params)(alone)[1], optimizer.start(alone), StepContext(0, 50), 0.25
            )
            torch.testing.assert_close(together[i : i + 1], expected[0], rtol=0, atol=0)


def test_a_search_stays_on_the_side_where_values_are_finite(params: torch.Tensor) -> None:
    def cliff(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return p.flatten(1).sum(1) + (3 - p).sqrt().flatten(1).sum(1), 1 - 0.5 / (3 - p).sqrt()

    starts = params.clamp(max=2.0)
    for optimizer in (Scipy(), Scipy("CG"), Scipy("BFGS"), LBFGS(), Scipy("trust-ncg")):
        moved, _ = search_of(optimizer, cliff, starts, cliff(starts)[1], optimizer.start(starts), StepContext(0, 20))
        assert torch.isfinite(cliff(moved)[0]).all()
        assert (cliff(moved)[0] > cliff(starts)[0] + 1).all()


def test_a_question_that_fails_ends_all_searches(params: torch.Tensor) -> None:
    import threading

    before, left = threading.active_count(), [3]

    def breaks(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return question(p)(p)

    for optimizer in (Scipy("CG"), LBFGS(), Scipy("TNC")):
        left[0] = 2
        with pytest.raises(KeyboardInterrupt):
            search_of(optimizer, breaks, params, question(params)(params)[1], optimizer.start(params), StepContext(0, 20))
        assert threading.active_count() == before


def test_yosinskis_progress(params: torch.Tensor) -> None:
    """As in the toolbox: lr = min(max_lr, desired / |g|^2), and for probabilities what is desired shrinks."""
    g = torch.randn_like(params)
    squares = g.square().sum((1, 2, 3))
    g[2] *= 1e-4
    moved, _ = Progressive(2.0, 100.0).step(params, g, {}, StepContext(), 1.0)
    for i, rate in enumerate((2 / squares[0], 2 / squares[1], torch.tensor(100.0).double())):
        torch.testing.assert_close(moved[i], params[i] + rate * g[i])
    values = torch.tensor([0.2, 0.95, 1.5]).double()
    moved, _ = Progressive01(0.3, 1e8, 0.5).step(params, g, {}, StepContext(values=values), 1.0)
    for i, gain in enumerate((0.3, 0.5 * 0.05, 0.0)):
        torch.testing.assert_close(((moved - params) * g)[i].sum(), torch.tensor(gain).double())
    with pytest.raises(OptimizeError, match="needs the values before the step"):
        Progressive01().step(params, g, {}, StepContext(), 1.0)


def test_cnn_vis_and_keras_vis_rmsprop(params: torch.Tensor) -> None:
    g = torch.randn(2, *params.shape, dtype=params.dtype)
    for optimizer, units in (
        (RMSprop(0.7, 0.95, 0.01), g),
        (RMSprop(0.7, 0.95, 0.01, norm="l2"), g / torch.linalg.vector_norm(g, dim=(2, 3, 4), keepdim=True)),
    ):
        x, state, cache = params, optimizer.start(params), torch.zeros_like(params)
        expected = params
        for step in range(2):
            x, state = optimizer.step(x, g[step], state, StepContext(step, 2), 1.0)
            cache = 0.95 * cache + 0.05 * units[step] ** 2
            expected = expected + 0.7 * units[step] / (cache + 0.01).sqrt()
        torch.testing.assert_close(x, expected)


def test_momentum_is_cleared_when_the_learning_rate_changes(params: torch.Tensor) -> None:
    g = torch.randn(4, *params.shape, dtype=params.dtype)
    rates = (0.5, 0.5, 0.1, 0.1)
    for reset in (False, True):
        optimizer = Momentum(Piecewise((0, 2), (0.5, 0.1)), 0.9, reset=reset)
        x, state, m, expected = params, optimizer.start(params), torch.zeros_like(params), params
        for step in range(4):
            x, state = optimizer.step(x, g[step], state, StepContext(step, 4), 1.0)
            m = rates[step] * g[step] + (0 if reset and step == 2 else 0.9) * m
            expected = expected + m
        torch.testing.assert_close(x, expected)


def test_momentum_is_torchs(params: torch.Tensor) -> None:
    mine, theirs = params.clone(), params.clone().requires_grad_()
    optimizer, reference = Ascent(0.3, "none", 0.7), torch.optim.SGD([theirs], 0.3, 0.7, maximize=True)
    state = optimizer.start(mine)
    for step in range(20):
        mine, state = optimizer.step(mine, (2 - mine).sin(), state, StepContext(step, 20), 1.0)
        theirs.grad = (2 - theirs.detach()).sin()
        reference.step()
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_deepdreams_step_moves_by_the_step_on_average(params: torch.Tensor) -> None:
    moved, _ = Ascent(1.5).step(params, torch.randn_like(params) * 1e-6, {}, StepContext(), 1.0)
    np.testing.assert_allclose((moved - params).abs().mean((1, 2, 3)), 1.5)


def test_schedules() -> None:
    moments = [StepContext(i, 4) for i in range(4)]
    assert [at(2, m) for m in moments] == [at(Constant(2), m) for m in moments] == [2.0] * 4
    np.testing.assert_allclose([at(Linear(11, 3), m) for m in moments], [11, 9, 7, 5])
    np.testing.assert_allclose([at(Linear(11, 5, inclusive=True), m) for m in moments], [11, 9, 7, 5])
    np.testing.assert_allclose([at(Geometric(8, 1, inclusive=True), m) for m in moments], [8, 4, 2, 1])
    assert at(Linear(7, 1, inclusive=True), StepContext(0, 1)) == 7
    with pytest.raises(UsageError, match="start of Geometric must be above 0, not 0"):
        Geometric(0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0), "step_size of Adam must be above 0, not 0"),
        (lambda: Adam(beta2=1), "beta2 of Adam must be from 0 to below 1, not 1"),
        (lambda: Adam(epsilon=0), "epsilon of Adam must be above 0"),
        (lambda: Ascent(-1), "step_size of Ascent must be above 0, not -1"),
        (lambda: Ascent(norm="max"), "must be mean, window, l2, std or none, not 'max'"),  # type: ignore[arg-type]
        (lambda: Ascent(momentum=1), "momentum of Ascent must be from 0 to below 1, not 1"),
        (lambda: AdamW(weight_decay=-1), "weight_decay of AdamW must be at least 0, not -1"),
        (lambda: AdamW(0), "step_size of AdamW must be above 0, not 0"),
        (lambda: NAdam(beta1=1), "beta1 of NAdam must be from 0 to below 1, not 1"),
        (lambda: RMSprop(decay=1), "decay of RMSprop must be from 0 to below 1"),
        (lambda: Progressive(0), "desired of Progressive must be above 0, not 0"),
        (lambda: Progressive01(late=0), "late of Progressive01 must be above 0, not 0"),
        (lambda: LBFGS(history=0), "history of LBFGS must be a whole number of at least 1, not 0"),
        (lambda: LBFGS(line_search="armijo"), "must be strong_wolfe or none, not 'armijo'"),  # type: ignore[arg-type]
        (lambda: Scipy("Nelder-Mead"), "scipy's Nelder-Mead uses no gradient"),
        (lambda: Scipy("downhill"), "no method 'downhill' that Scipy can use; there are BFGS, CG, dogleg, L-BFGS-B, Newton-CG,"),
        (lambda: Scipy(maxiter=3), "Scipy sets maxiter itself"),
        (lambda: Scipy(resample_every=0), "resample_every of Scipy must be a whole number of at least 1, not 0"),
        (lambda: Torch("Adum"), "torch.optim has no class 'Adum'; it has ASGD, Adadelta"),
        (lambda: Torch("SparseAdam"), "cannot optimize an image: SparseAdam does not support dense gradients"),
        (lambda: Torch("Muon"), "cannot optimize an image: Muon only supports 2D"),
        (lambda: Torch("LBFGS"), "is done by the optimizer LBFGS"),
        (lambda: Torch("SGD", maximize=True), "takes no option maximize"),
        (lambda: Torch("SGD", beta=1), "cannot optimize an image: .*unexpected keyword argument 'beta'"),
        (lambda: Torch("SGD", lr=0), "lr of torch.optim.SGD must be above 0, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()


def test_a_matrix_too_large_is_refused() -> None:
    params = torch.zeros(1, 3, 50, 61)
    for method, most in (("BFGS", 5000), ("dogleg", 256)):
        with pytest.raises(UsageError, match=f"{method} keeps a matrix of 9150 x 9150 numbers for 9150 parameters; up to {most}"):
            search_of(Scipy(method), question(params), params, params + 1, {}, StepContext(0, 5))


def test_options_that_a_method_does_not_take(params: torch.Tensor) -> None:
    gradient = question(params)(params)[1]
    for optimizer, why in ((Scipy(maxls="many"), "'<=' not supported|str"), (Scipy("CG", maxls=3), "Unknown solver options: maxls")):
        with pytest.raises(UsageError, match=f"{optimizer.method} does not take these options: .*({why})"):
            search_of(optimizer, question(params), params, gradient, {}, StepContext(0, 5))


@pytest.mark.parametrize(
    "text", ["lbfgs(0.5, renew=3)", "LBFGS(step_size=0.5, renew=3)", "scipy('CG', renew=5, gtol=0.25)", 'Scipy("TNC", renew=2)']
)
def test_old_pictures_strings_are_read(text: str) -> None:
    optimizer = parse_optimizer(renamed(text))
    assert isinstance(optimizer, LBFGS | Scipy)
    assert optimizer.resample_every == int(text.split("renew=")[1][0])
