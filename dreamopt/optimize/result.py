"""The result of a run, and its progress as callbacks see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.inline import MOST, card, png_bytes
from dreamopt.optimize.optimizer import per_item
from dreamopt.optimize.state import RunState
from dreamopt.parts.arguments import check_several
from dreamopt.parts.brief import brief, counted
from dreamopt.parts.checks import shown
from dreamopt.problem import Problem


class Progress:
    """A run after a step, as callbacks see it; what is costly is computed when it is read.

    Attributes
    ----------
    step : int
        Number of the step just made, from 0.
    steps : int
        How many there will be.
    octave : int
        Of the run, from 0.
    evaluations : int
        How many times the problem has been evaluated with its gradient.
    """

    def __init__(
        self,
        problem: Problem,
        step: int,
        steps: int,
        values: Tensor,
        best_values: Tensor,
        params: Tensor,
        octave: int = 0,
        evaluations: int = 0,
    ) -> None:
        self.problem = problem
        self.step = step
        self.steps = steps
        self.octave = octave
        self.evaluations = evaluations
        self._values = values
        self._best_values = best_values
        self._params = params

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(N,) each sample's value (objective minus penalties) before this step."""
        return self._values.to(torch.float64).cpu().numpy()

    @cached_property
    def best_values(self) -> NDArray[np.float64]:
        """(N,) the highest values so far."""
        return self._best_values.to(torch.float64).cpu().numpy()

    def images(self) -> Tensor:
        """Return the images after this step, (N, C, H, W), the net's input space."""
        return self.problem.images(self._params)


Callback = Callable[[Progress], bool | None]


def checked_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return several functions; UsageError for anything else."""
    several = check_several("callbacks", callbacks, "functions")
    for callback in several:
        if not callable(callback):
            raise UsageError(f"each of callbacks must be a function, not {shown(callback)}")
    return several


"""Called after every step; True ends the run there."""


@dataclass(eq=False, repr=False)
class Result:
    """The result of a run, sample by sample.

    Parameters
    ----------
    problem : Problem
        What was maximised.
    params : Tensor
        (N, ...) parameters after the last step.
    best_params : Tensor
        (N, ...) those with the highest value that was measured.
    best_values : ndarray
        (N,) that value; NaN where none was.
    best_steps : ndarray
        (N,) how many steps had been made there; -1 where no value was measured.
    history : ndarray
        (measurements, N) values before each step (for a line search, before each search) and, unless the run was
        interrupted, after the last one.
    measured : ndarray
        (measurements,) how many steps had been made at each row of ``history``.
    steps, asked : int
        Steps made, and steps asked for.
    seed : int
        Of the random streams.
    optimizer : str
        The optimizer, printed.
    interrupted : bool
        Whether Ctrl-C ended the run.
    stopped : list of str or None
        For each sample, why it was stopped early (a value or gradient that is not finite, or no progress).
    dead : mapping of int to str
        By place in the batch, why a sample's gradient was exactly zero at the start, and at every restart.
    restarted : list of int or None
        For each sample the number of the restart that it started from, from 0; None for the first start.
    setbacks : mapping of int to str
        By place in the batch, what first made a sample go back, and take smaller steps from then on.
    redirected : ndarray or None
        (N,) at how many steps gradients of each sample were redirected at ReLUs that stopped them; None if they could not be.
    redirected_at : mapping of str to ndarray
        The same for each ReLU where it happened, by the layer's name.
    first_params : Tensor or None
        (N, ...) the first parameters at which each sample's unit was the highest of its layer; None where the objective
        cannot tell; where a sample never got there, its start.
    first_steps : ndarray
        (N,) how many steps had been made there; -1 where the unit never was the highest.
    transparency : Tensor or None
        (N, C, H, W) the sum over the steps of the size of the objective's gradient at the image, if it was asked for.
    resumed_at : int
        How many steps had been made when this run resumed; 0 for one from the start.
    seconds : float
        Wall time of this run.
    evaluations : int
        How many times the problem was evaluated with its gradient, restarts and the end left out.
    """

    problem: Problem
    params: Tensor
    best_params: Tensor
    best_values: NDArray[np.float64]
    best_steps: NDArray[np.int64]
    history: NDArray[np.float64]
    steps: int
    asked: int
    seed: int
    optimizer: str
    interrupted: bool = False
    stopped: list[str | None] = field(default_factory=list)
    dead: Mapping[int, str] = field(default_factory=dict)
    restarted: list[int | None] = field(default_factory=list)
    setbacks: Mapping[int, str] = field(default_factory=dict)
    redirected: NDArray[np.int64] | None = None
    redirected_at: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    first_params: Tensor | None = None
    first_steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    measured: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    transparency: Tensor | None = None
    resumed_at: int = 0
    seconds: float = 0.0
    evaluations: int = 0

    def _stopped_early(self) -> NDArray[np.bool_]:
        return np.array([self.interrupted or why is not None for why in self.stopped], dtype=bool)

    @cached_property
    def images(self) -> Tensor:
        """(N, C, H, W) in the net's input space: the last image; the best one where the sample was stopped or the run interrupted."""
        early = torch.from_numpy(self._stopped_early()).to(self.params.device)
        if self.best_params is self.params:
            return self.problem.images(self.params)
        return self.problem.images(torch.where(per_item(early, self.params), self.best_params, self.params))

    @cached_property
    def best_images(self) -> Tensor:
        """(N, C, H, W) the images with the highest values."""
        return self.problem.images(self.best_params)

    @property
    def values(self) -> NDArray[np.float64]:
        """(N,) the values of `images`; NaN where none was measured."""
        last = self.history[-1] if len(self.history) else self.best_values
        return np.where(self._stopped_early(), self.best_values, last)

    def rgb(self, channels: str = "auto") -> NDArray[np.uint8]:
        """Return `images` as arrays (N, H, W, 3), RGB; ``channels`` says how they are shown, see `dreamopt.network.Network.to_rgb`."""
        return np.asarray(self.problem.network.to_rgb(self.images, channels).round().to(torch.uint8).cpu().numpy())

    def describe(self, item: int | None = None) -> dict[str, Any]:
        """Return how the images were made, fit for JSON; of one sample (its place in the batch) or of all."""
        description = self.problem.describe() | {"network": dict(self.problem.network.describe())}
        description |= {
            "optimizer": self.optimizer,
            "steps": self.asked,
            "steps_made": self.steps,
            "seed": self.seed,
            "interrupted": self.interrupted,
        }
        places = range(self.problem.n) if item is None else [item]
        description["results"] = [
            {
                "item": self.problem.items[i],
                "objective": str(self.problem.objective.item(i)),
                "value": _number(self.values[i]),
                "best_value": _number(self.best_values[i]),
                "best_step": int(self.best_steps[i]),
                "first_step": int(self.first_steps[i]) if self.first_params is not None else None,
                "stopped": self.stopped[i],
                "setback": self.setbacks.get(i),
                "dead": self.dead.get(i),
                "restart": self.restarted[i],
                "redirected": 0 if self.redirected is None else int(self.redirected[i]),
                "redirected_at": {layer: int(steps[i]) for layer, steps in self.redirected_at.items() if steps[i]},
            }
            for i in places
        ]
        return description

    def __repr__(self) -> str:
        """Return one line: what was maximised, by what, in how many steps, with which values."""
        values = ", ".join(f"{value:.4g}" for value in self.values[:4]) + (", ..." if len(self.values) > 4 else "")
        cut = "interrupted" if self.interrupted else ""
        return brief("Result", f"{self.problem.objective} by {self.optimizer}", counted(self.steps, "step"), f"values {values}", cut)

    def _repr_png_(self) -> bytes | None:
        """Return the first images side by side, for notebooks; None for a net whose input is none."""
        return png_bytes(np.concatenate(list(self._first()), axis=1)) if self.problem.network.has_image_input else None

    def _repr_html_(self) -> str:
        """Return the images with their targets and values, for notebooks."""
        seconds = f"{self.seconds:.1f} s" if self.seconds else None
        facts = {"optimizer": self.optimizer, "steps": self.steps, "evaluations": self.evaluations, "time": seconds}
        shown = self._first() if self.problem.network.has_image_input else ()
        labels = [f"{self.problem.objective.item(i)}: {self.values[i]:.4g}" for i in range(min(self.problem.n, MOST))]
        images = list(zip(shown, labels, strict=False))
        return card(repr(self), facts, images, count=self.problem.n if images else None)

    def _first(self) -> NDArray[np.uint8]:
        """Return the images that a notebook shows."""
        shown = self.problem.network.to_rgb(self.images[:MOST], "auto")
        return np.asarray(shown.round().to(torch.uint8).cpu().numpy())


def _number(value: float) -> float | None:
    # JSON has no NaN and no infinity.
    return float(value) if np.isfinite(value) else None


def make_result(
    problem: Problem, state: RunState, *, asked: int, seed: int, optimizer: str, interrupted: bool, resumed_at: int, seconds: float
) -> Result:
    """Return the result of a run that ended in a state."""
    history, n = state.history, problem.n
    best = history.best_values.to(torch.float64).cpu().numpy()
    measured = history.measured[: history.rows]
    values = torch.stack([row for _, row in measured]).to(torch.float64).cpu().numpy() if measured else np.zeros((0, n))
    return Result(
        problem=problem,
        params=state.params,
        best_params=history.best_params if history.best_params is state.params else history.best_params.clone(),
        best_values=np.where(np.isfinite(best), best, np.nan),
        best_steps=history.best_steps.cpu().numpy(),
        history=values,
        measured=np.array([step for step, _ in measured], dtype=np.int64),
        steps=state.step,
        asked=asked,
        seed=seed,
        optimizer=optimizer,
        interrupted=interrupted,
        stopped=[history.stopped.get(k) for k in range(n)],
        dead=history.dead,
        restarted=list(history.restarted),
        setbacks=history.setbacks,
        redirected=None if history.redirected is None else history.redirected.cpu().numpy(),
        redirected_at={layer: counts.cpu().numpy() for layer, counts in history.redirected_at.items() if bool(counts.any())},
        first_params=history.first_params.clone() if history.reports_argmax else None,
        first_steps=history.first_steps.cpu().numpy(),
        transparency=history.transparency,
        resumed_at=resumed_at,
        seconds=seconds,
        evaluations=state.evaluations,
    )
