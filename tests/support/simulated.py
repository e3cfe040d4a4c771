"""Studies with known truth: rows of contestants whose quality is planted, as an executor would give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamopt.recipes.settings import Settings
from dreamopt.study.analysis import MeasureFacts
from dreamopt.study.budget import Budget
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Row, Trace

FACTS = {"held_out": MeasureFacts("the objective's", "higher")}
Noise = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return Student's t with 3 degrees of freedom."""
    return np.asarray(rng.standard_t(3, shape))


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return what is 0 on average and mostly a little above, seldom far below."""
    return np.asarray(1.0 - rng.lognormal(0, 1, shape) / np.exp(0.5))


@dataclass(frozen=True)
class Truth:
    """What is planted.

    Parameters
    ----------
    qualities : tuple of float
        Of each contestant, in parts of the reference's gain.
    units, seeds : int
        Of the study.
    interaction, spread : float
        How much a contestant's quality differs between units, and between seeds.
    noise : callable
        Of both.
    failures : float
        Probability of a run's failing.
    race : bool
        As of the request.
    """

    qualities: tuple[float, ...]
    units: int = 12
    seeds: int = 3
    interaction: float = 0.08
    spread: float = 0.08
    noise: Noise = heavy
    failures: float = 0.01
    race: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the contestants: a, b, c ..."""
        return tuple("abcdefghij"[: len(self.qualities)])

    def request(self) -> Request:
        """Return the request of such a study."""
        net = StudyNet("squeezenet", {}, {}, tuple(f"conv{u}:{u}" for u in range(self.units)), (), (32, 24))
        contestants = tuple(Contestant(name, Settings()) for name in self.names)
        return Request("Simulated", (net,), contestants, Contestant("default", Settings()), Budget(64), seeds=self.seeds, race=self.race)

    def rows(self, request: Request, rng: np.random.Generator) -> list[Row]:
        """Return the rows of one study, all of them."""
        shape = (len(self.qualities) + 1, self.units, self.seeds)
        low = rng.uniform(-5, 5, self.units)
        gain = rng.lognormal(1, 1, self.units)
        hard = 0.2 * rng.standard_normal(self.units)
        quality = np.array([*self.qualities, 1.0])[:, None] + hard + self.interaction * self.noise(rng, shape[:2])
        values = low[:, None] + gain[:, None] * (quality[:, :, None] + self.spread * self.noise(rng, shape))
        failed = rng.random(shape) < self.failures
        failed[-1] = False
        rows = []
        for c, name in enumerate((*self.names, "default")):
            phase = "score" if name in self.names else "reference"
            for u, unit in enumerate(request.nets[0].units):
                for s in range(self.seeds):
                    value, bad = float(values[c, u, s]), bool(failed[c, u, s])
                    rows.append(
                        Row(
                            f"{name}{u}-{s}",
                            phase,
                            "squeezenet",
                            name,
                            {},
                            unit,
                            s,
                            s,
                            "failed" if bad else "done",
                            evaluations=0 if bad else 64,
                            measures={} if bad else {"held_out": value},
                            trace=Trace((0,), (0.0,), (float(low[u]),)) if bad else Trace((0, 64), (0.0, 1.0), (float(low[u]), value)),
                        )
                    )
        return rows


def chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows of some contestants, and the reference's."""
    return [row for row in rows if row.contestant in names or row.phase == "reference"]
