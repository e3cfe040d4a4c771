"""scipy's minimisers, by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, OptimizeWarning, minimize
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.optimize.batched_search import Ask, minimize_together, slopes
from dreamopt.optimize.optimizer import Evaluate, LineSearch, State
from dreamopt.optimize.options import Options, call, frozen
from dreamopt.parts.checks import check_whole
from dreamopt.parts.schedule import StepContext

Vector = NDArray[np.float64]

# What each method needs beside values and gradients, and how many numbers it can take: it keeps their square in memory.
_PRODUCTS = ("Newton-CG", "trust-ncg", "trust-krylov")
_MATRICES = {"dogleg": 256, "trust-exact": 256}
_SQUARES = {"BFGS": 5000, "SLSQP": 5000, "trust-constr": 5000}
_SIMPLE = ("CG", "L-BFGS-B", "TNC")
_METHODS = (*_SIMPLE, *_SQUARES, *_PRODUCTS, *_MATRICES)
_BOUNDED = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr")
_BLIND = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")

# How far apart, in grey levels, the gradients are that a second derivative is made from.
_APART = 0.1


@dataclass(frozen=True, init=False)
class Scipy(LineSearch):
    """A gradient method of `scipy.optimize.minimize`, each item a minimisation of its own, all evaluated together.

    A method sees parameters in grey levels and the negative value over its largest slope at the start of the search, so
    that its tolerances and first steps mean the same for every net. L-BFGS-B, TNC, SLSQP and trust-constr keep the bounds
    themselves; the others know none, and what they find is cut to the bounds after each search. Newton-CG, trust-ncg,
    trust-krylov, trust-exact and dogleg get second derivatives from differences of gradients 0.1 grey levels apart.

    Parameters
    ----------
    method : str
        One of CG, L-BFGS-B, TNC, Newton-CG, trust-ncg, trust-krylov; BFGS, SLSQP, trust-constr (up to 5000 parameters an
        item); dogleg, trust-exact (up to 256). In any case of letters.
    renew : int
        How many iterations, at least 1, see the same draw of the transforms. Each iteration counts as a step of the
        climb. Then transforms are drawn anew, projections act, and the method begins again without its memory: larger
        values use it better, smaller ones make the image more robust.
    **options
        The method's own ``options``, for instance ``maxcor=20``.

    Raises
    ------
    UsageError
        For a method that there is not, that uses no gradient, or that cannot take so many parameters.

    Examples
    --------
    >>> print(Scipy("l-bfgs-b", maxcor=20))
    Scipy("L-BFGS-B", maxcor=20)
    """

    examples: ClassVar[tuple[str, ...]] = (
        "scipy()",
        'scipy("CG")',
        'scipy("BFGS")',
        'scipy("Newton-CG")',
        'scipy("TNC")',
        'scipy("SLSQP")',
        'scipy("trust-constr")',
        'scipy("trust-ncg")',
        'scipy("trust-krylov")',
        'scipy("dogleg", 2)',
        'scipy("trust-exact", 2)',
        'scipy("L-BFGS-B", 3, maxcor=4)',
    )

    method: str
    renew: int
    options: Options

    def __init__(self, method: str = "L-BFGS-B", renew: int = 20, **options: Any) -> None:
        known = {name.lower(): name for name in (*_METHODS, *_BLIND)}
        if str(method).lower() not in known:
            raise UsageError(f"scipy has no method '{method}' that Scipy can use; there are {', '.join(sorted(_METHODS, key=str.lower))}")
        if known[method.lower()] in _BLIND:
            raise UsageError(f"scipy's {known[method.lower()]} uses no gradient, and an image has too many numbers for that")
        for name in ("maxiter", "callback", "workers"):
            if name in options:
                raise UsageError(f"Scipy sets {name} itself; the number of iterations of one search is renew={renew}")
        object.__setattr__(self, "method", known[method.lower()])
        object.__setattr__(self, "renew", check_whole("renew of Scipy", renew))
        object.__setattr__(self, "options", frozen(options, "Scipy"))

    def __str__(self) -> str:
        renew = {} if self.renew == 20 else {"renew": self.renew}
        return call("Scipy", self.method, **renew, **dict(self.options))

    @property
    def stride(self) -> int:
        """One step for each iteration."""
        return self.renew

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
        """Let the method iterate for each item, from where it stands."""
        count = params[0].numel()
        most = (_SQUARES | _MATRICES).get(self.method)
        if most is not None and count > most:
            raise UsageError(
                f"scipy's {self.method} keeps a matrix of {count} x {count} numbers for {count} parameters; "
                f"up to {most} it can be used here, above that L-BFGS-B, CG or TNC"
            )
        iterations = max(1, min(self.renew, context.steps - context.step))
        ends = [None if end is None else (end / unit).expand(params[:1].shape) for end in bounds]
        walls = [
            np.full(count, free) if end is None else end.reshape(-1).to(torch.float64).cpu().numpy()
            for end, free in zip(ends, (-np.inf, np.inf), strict=True)
        ]

        def solve(ask: Ask, start: Tensor) -> Tensor:
            return torch.from_numpy(self._minimize(ask, start.cpu().numpy(), Bounds(walls[0], walls[1]), iterations))

        with warnings.catch_warnings():
            # That a search ends short of its tolerances is no news to a climb.
            warnings.filterwarnings("ignore", module=r"scipy\.")
            warnings.filterwarnings("error", "Unknown solver options", OptimizeWarning)
            solvers = dict.fromkeys(range(len(params)), solve)
            scales = slopes(gradient, unit)
            return minimize_together(solvers, evaluate, params, gradient, context.values, unit, scales), state

    def _minimize(self, ask: Ask, start: Vector, bounds: Bounds, iterations: int) -> Vector:
        path = _Path(ask)
        more: dict[str, Any] = {}
        if self.method in _PRODUCTS:
            more["hessp"] = path.product
        if self.method in _MATRICES:
            more["hess"] = path.matrix
        if self.method in _BOUNDED:
            more["bounds"] = bounds
        options: dict[str, Any] = dict(self.options)
        if self.method == "TNC":
            # It has no limit of iterations, only one of evaluations.
            more["callback"] = _Count(iterations)
            options.setdefault("maxfun", 100 * iterations)
        else:
            options["maxiter"] = iterations
        try:
            minimize(path, start, jac=True, method=self.method, options=options, **more)
        except _EnoughError:
            pass
        except (TypeError, OptimizeWarning, ValueError, np.linalg.LinAlgError) as problem:
            # Later ones are about numbers met on the way; what was found until then stands.
            if path.asked <= 1 or isinstance(problem, TypeError | OptimizeWarning):
                raise UsageError(f"scipy's {self.method} does not take these options: {problem}") from problem
        return start if path.best is None else path.best


class _EnoughError(Exception):
    """Ends a method that counts no iterations."""


class _Count:
    """A callback that ends a method after so many iterations."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, where: Vector) -> None:
        self.left -= 1
        if self.left <= 0:
            raise _EnoughError


class _Path:
    """What is asked on the way of one minimisation: it remembers the best place."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._last: tuple[Vector, Vector] | None = None
        self._lowest = np.inf
        self.best: Vector | None = None
        self.asked = 0

    def __call__(self, where: Vector) -> tuple[float, Vector]:
        value, slope = self._ask(torch.from_numpy(np.array(where, dtype=np.float64)))
        gradient: Vector = slope.cpu().numpy()
        self._last = (np.array(where), gradient)
        self.asked += 1
        if value < self._lowest:
            self._lowest, self.best = value, np.array(where)
        return value, gradient.copy()

    def _slope(self, where: Vector) -> Vector:
        if self._last is None or not np.array_equal(self._last[0], where):
            self(where)
        assert self._last is not None
        return self._last[1]

    def product(self, where: Vector, direction: Vector) -> Vector:
        """Return the second derivative times a direction, from two gradients."""
        longest = float(np.abs(direction).max())
        if longest == 0:
            return np.zeros_like(direction)
        here = self._slope(where).copy()
        there = np.array(where + direction * (_APART / longest))
        _, slope = self._ask(torch.from_numpy(there))
        return np.asarray((slope.cpu().numpy() - here) * (longest / _APART))

    def matrix(self, where: Vector) -> Vector:
        """Return the whole second derivative, one gradient for each column."""
        columns: Sequence[Vector] = [self.product(where, one) for one in np.eye(len(where))]
        whole = np.stack(columns)
        return np.asarray((whole + whole.T) / 2)
