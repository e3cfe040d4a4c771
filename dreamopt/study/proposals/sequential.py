"""The one door to Optuna: a proposal from the trials before. It is asked anew each time and remembers nothing itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.study.axis import Axis
from dreamopt.study.request import Trial


def check_installed() -> None:
    """Raise UsageError where Optuna is not installed."""
    if find_spec("optuna") is None:
        raise UsageError("a sequential search asks Optuna, which is not installed: pip install 'dreamopt[search]'")


def propose(axes: Sequence[Axis], tried: Sequence[tuple[Trial, float]], seed: int) -> Trial:
    """Return the next trial by Optuna's tree-structured Parzen estimator.

    All that it knows is given: so a study that was interrupted goes on with the same proposals.

    Parameters
    ----------
    axes : sequence of Axis
        What is tuned.
    tried : sequence of (Trial, float)
        Trials before in their order with their scores, larger ones better; minus infinity for failures.
    seed : int
        Of the sampler.

    References
    ----------
    .. [1] Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", 2011.
    """
    check_installed()
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is experimental in Optuna says so
            distributions: dict[str, Any] = {axis.name: _distribution(optuna.distributions, axis) for axis in axes}
            sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=seed % 2**32)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            lowest = min((score for _, score in tried if math.isfinite(score)), default=0.0)
            for trial, score in tried:
                value = score if math.isfinite(score) else lowest - max(1.0, abs(lowest))
                study.add_trial(optuna.trial.create_trial(params=dict(trial), distributions=distributions, value=value))
            asked = study.ask(distributions)
    finally:
        optuna.logging.set_verbosity(before)
    return {axis.name: _rounded(axis, asked.params[axis.name]) for axis in axes}


def _distribution(known: Any, axis: Axis) -> Any:
    if axis.values:
        return known.CategoricalDistribution(axis.values)
    if axis.whole:
        return known.IntDistribution(round(axis.low), round(axis.high), log=axis.log)
    return known.FloatDistribution(axis.low, axis.high, log=axis.log)


def _rounded(axis: Axis, value: Any) -> Any:
    if axis.values or axis.whole:
        return value
    return min(max(float(f"{value:.4g}"), axis.low), axis.high)
