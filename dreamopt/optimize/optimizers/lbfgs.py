"""torch's L-BFGS, each item by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.optimize.batched_search import Ask, Solve, minimize_together, slopes
from dreamopt.optimize.optimizer import Evaluate, LineSearch, State
from dreamopt.optimize.options import copied
from dreamopt.parts.checks import COUNT, POSITIVE, Fields
from dreamopt.parts.schedule import Number, StepContext, at

# The end of a line search is one of its last trials.
_REMEMBERED = 8


@dataclass(frozen=True)
class LBFGS(LineSearch):
    r"""`torch.optim.LBFGS`: Newton's step with a second derivative guessed from the last gradients.

    Each item has its own memory, which lasts over the whole climb. Where transforms are drawn anew between two searches,
    the one pair of gradients that belong to different draws is left out of it. The method sees parameters in grey levels,
    and the negative value over the item's largest slope at its first step, so that torch's absolute tolerances mean the
    same for every net. It knows no bounds: they are a cut after each search.

    Parameters
    ----------
    step_size : float or Schedule
        Above 0: what the guessed step is multiplied by; without a line search values below 1 are safer.
    renew : int
        How many iterations, at least 1, see the same draw of the transforms. Each counts as a step of the climb.
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

    step_size: Number = 1.0
    renew: int = 10
    history: int = 10
    line_search: Literal["strong_wolfe", "none"] = "strong_wolfe"

    def __post_init__(self) -> None:
        fields = Fields(self).scheduled("step_size", POSITIVE).whole("renew", COUNT).whole("history", COUNT)
        fields.choice("line_search", ("strong_wolfe", "none"))

    @property
    def stride(self) -> int:
        """One step for each iteration."""
        return self.renew

    def start(self, params: Tensor) -> State:
        """Return for each item an empty memory, no scale yet, and no last gradient."""
        n = len(params)
        return {"memory": [{} for _ in range(n)], "scale": [0.0] * n, "last": [None] * n}

    def search(
        self,
        evaluate: Evaluate,
        params: Tensor,
        gradient: Tensor,
        state: State,
        context: StepContext,
        unit: float,
        bounds: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, State]:
        """Let each item iterate, from where it stands and with what it remembers."""
        iterations = max(1, min(self.renew, context.steps - context.step))
        rate = at(self.step_size, context)
        scales = [known or new for known, new in zip(state["scale"], slopes(gradient, unit), strict=True)]
        memories, last = list(state["memory"]), list(state["last"])

        def solver(k: int) -> Solve:
            def solve(ask: Ask, start: Tensor) -> Tensor:
                end, memories[k], last[k] = self._minimize(ask, start.to(params.dtype), memories[k], last[k], rate, iterations)
                return end

            return solve

        moved = minimize_together({k: solver(k) for k in range(len(params))}, evaluate, params, gradient, context.values, unit, scales)
        return moved, {"memory": memories, "scale": scales, "last": last}

    def _minimize(
        self, ask: Ask, start: Tensor, memory: Mapping[str, Any], last: Tensor | None, rate: float, iterations: int
    ) -> tuple[Tensor, dict[str, Any], Tensor]:
        leaf = start.clone().requires_grad_()
        search = None if self.line_search == "none" else self.line_search
        method = torch.optim.LBFGS([leaf], rate, iterations, history_size=self.history, line_search_fn=search)
        kept = {key: copied(value, leaf) for key, value in memory.items()}
        now = ask(leaf.detach())[1].to(leaf)
        if last is not None and not torch.equal(last.to(now), now) and "prev_flat_grad" in kept:
            # Another draw, or parameters mended since: a difference of zero is what torch does not remember.
            kept["prev_flat_grad"] = now.clone()
        method.state[leaf].update(kept)
        seen: list[tuple[Tensor, Tensor]] = []

        def closure() -> float:
            value, slope = ask(leaf.detach())
            leaf.grad = slope.to(leaf)
            seen[:] = [*seen[-_REMEMBERED:], (leaf.detach().clone(), leaf.grad)]
            return value

        method.step(closure)  # type: ignore[no-untyped-call]  # torch's own decorator has no types
        end = leaf.detach().clone()
        # The gradient at the end, where the search has passed by; else the next search finds none, and skips one pair.
        slope = next((slope for where, slope in reversed(seen) if torch.equal(where, end)), torch.full_like(end, torch.nan))
        return end, {key: copied(value, leaf) for key, value in method.state[leaf].items()}, slope.clone()
