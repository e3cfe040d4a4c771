"""torch's L-BFGS, each sample by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.optimize.batched_search import Query, Solve, minimize_batch, slopes
from dreamopt.optimize.optimizer import LineSearch, SearchContext, State
from dreamopt.optimize.options import copied
from dreamopt.parts.checks import COUNT, POSITIVE, Fields
from dreamopt.parts.schedule import Number, at
from dreamopt.parts.tuned import Tuned

# The end of a line search is one of its last trials.
_REMEMBERED = 8


@dataclass(frozen=True)
class LBFGS(LineSearch):
    r"""`torch.optim.LBFGS`: Newton's step with a second derivative guessed from the last gradients.

    Each sample has its own memory, which lasts over the whole run. Where transforms are resampled between two searches,
    the one pair of gradients that belong to different draws is left out of it. The method sees parameters in grey levels,
    and the negative value over the sample's largest slope at its first step, so that torch's absolute tolerances mean the
    same for every net. It knows no bounds: parameters are clipped after each search.

    Parameters
    ----------
    step_size : float or Schedule
        Above 0: what the guessed step is multiplied by; without a line search values below 1 are safer.
    resample_every : int
        How many iterations, at least 1, see the same sampled transforms. Each counts as a step of the run.
    history : int
        How many pairs of gradients are remembered, at least 1.
    line_search : {"strong_wolfe", "none"}
        How far to go along a step: searched for, or as far as guessed.

    References
    ----------
    .. [1] Nocedal, Wright, "Numerical Optimization", 2nd ed., algorithms 7.5 and 3.5.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "lbfgs()",
        'lbfgs(0.5, 3, 2, "none")',
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"step_size": Tuned(0.125, 8)}

    step_size: Number = 1.0
    resample_every: int = 10
    history: int = 10
    line_search: Literal["strong_wolfe", "none"] = "strong_wolfe"

    def __post_init__(self) -> None:
        fields = Fields(self).scheduled("step_size", POSITIVE).whole("resample_every", COUNT).whole("history", COUNT)
        fields.choice("line_search", ("strong_wolfe", "none"))

    @property
    def stride(self) -> int:
        """One step for each iteration."""
        return self.resample_every

    def start(self, params: Tensor) -> State:
        """Return for each sample an empty memory, no scale yet, and no last gradient."""
        n = len(params)
        return {"memory": [{} for _ in range(n)], "scale": [0.0] * n, "last": [None] * n}

    def search(self, params: Tensor, gradient: Tensor, state: State, context: SearchContext) -> tuple[Tensor, State]:
        """Let each sample iterate, from where it is and with what it remembers."""
        step = context.step
        iterations = max(1, min(self.resample_every, step.steps - step.step))
        rate = at(self.step_size, step)
        scales = [scale or slope for scale, slope in zip(state["scale"], slopes(gradient, context.unit), strict=True)]
        memories, last = list(state["memory"]), list(state["last"])

        def solver(k: int) -> Solve:
            def solve(query: Query, start: Tensor) -> Tensor:
                end, memories[k], last[k] = self._minimize(query, start.to(params.dtype), memories[k], last[k], rate, iterations)
                return end

            return solve

        moved = minimize_batch({k: solver(k) for k in range(len(params))}, params, gradient, context, scales)
        return moved, {"memory": memories, "scale": scales, "last": last}

    def _minimize(
        self, query: Query, start: Tensor, memory: Mapping[str, Any], last: Tensor | None, rate: float, iterations: int
    ) -> tuple[Tensor, dict[str, Any], Tensor]:
        leaf = start.clone().requires_grad_()
        search = None if self.line_search == "none" else self.line_search
        method = torch.optim.LBFGS([leaf], rate, iterations, history_size=self.history, line_search_fn=search)
        state = {key: copied(value, leaf) for key, value in memory.items()}
        slope_here = query(leaf.detach())[1].to(leaf)
        if last is not None and not torch.equal(last.to(slope_here), slope_here) and "prev_flat_grad" in state:
            # Other transforms, or parameters projected since: a difference of zero is what torch does not remember.
            state["prev_flat_grad"] = slope_here.clone()
        method.state[leaf].update(state)
        trials: list[tuple[Tensor, Tensor]] = []

        def closure() -> float:
            value, slope = query(leaf.detach())
            leaf.grad = slope.to(leaf)
            trials[:] = [*trials[-_REMEMBERED:], (leaf.detach().clone(), leaf.grad)]
            return value

        method.step(closure)  # type: ignore[no-untyped-call]  # torch's own decorator has no types
        end = leaf.detach().clone()
        # The gradient at the end, where it was evaluated; without it the next search skips one pair.
        slope = next((slope for position, slope in reversed(trials) if torch.equal(position, end)), torch.full_like(end, torch.nan))
        return end, {key: copied(value, leaf) for key, value in method.state[leaf].items()}, slope.clone()
