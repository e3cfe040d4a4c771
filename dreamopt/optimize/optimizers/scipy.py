"""scipy's minimisers, by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.optimize.batched_search import Query, minimize_batch, slopes
from dreamopt.optimize.optimizer import LineSearch, SearchContext, State
from dreamopt.optimize.options import Options, call, frozen
from dreamopt.parts.checks import check_whole

if TYPE_CHECKING:
    from scipy.optimize import Bounds

Vector = NDArray[np.float64]

# What each method needs beside values and gradients, and how many numbers it can take: it keeps their square in memory.
_PRODUCTS = ("Newton-CG", "trust-ncg", "trust-krylov")
_MATRICES = {"dogleg": 256, "trust-exact": 256}
_SQUARES = {"BFGS": 5000, "SLSQP": 5000, "trust-constr": 5000}
_SIMPLE = ("CG", "L-BFGS-B", "TNC")
_METHODS = (*_SIMPLE, *_SQUARES, *_PRODUCTS, *_MATRICES)
_BOUNDED = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr")
_DERIVATIVE_FREE = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")

# How far apart, in grey levels, the gradients are that a second derivative is made from.
_DIFFERENCE_STEP = 0.1


@dataclass(frozen=True, init=False)
class Scipy(LineSearch):
    """A gradient method of `scipy.optimize.minimize`, each sample a minimisation of its own, all evaluated as one batch.

    A method sees parameters in grey levels and the negative value over its largest slope at the start of the search, so
    that its tolerances and first steps mean the same for every net. L-BFGS-B, TNC, SLSQP and trust-constr keep the bounds
    themselves; the others know none, and what they find is clipped after each search. Newton-CG, trust-ncg,
    trust-krylov, trust-exact and dogleg get second derivatives from differences of gradients 0.1 grey levels apart.

    Parameters
    ----------
    method : str
        One of CG, L-BFGS-B, TNC, Newton-CG, trust-ncg, trust-krylov; BFGS, SLSQP, trust-constr (up to 5000 parameters a
        sample); dogleg, trust-exact (up to 256). In any case of letters.
    resample_every : int
        How many iterations, at least 1, see the same sampled transforms. Each iteration counts as a step of the
        run. Then transforms are resampled, projections act, and the method begins again without its memory: larger
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
    resample_every: int
    options: Options

    def __init__(self, method: str = "L-BFGS-B", resample_every: int = 20, **options: Any) -> None:
        known = {name.lower(): name for name in (*_METHODS, *_DERIVATIVE_FREE)}
        if str(method).lower() not in known:
            raise UsageError(f"scipy has no method '{method}' that Scipy can use; there are {', '.join(sorted(_METHODS, key=str.lower))}")
        if known[method.lower()] in _DERIVATIVE_FREE:
            raise UsageError(f"scipy's {known[method.lower()]} uses no gradient, and an image has too many numbers for that")
        for name in ("maxiter", "callback", "workers"):
            if name in options:
                raise UsageError(f"Scipy sets {name} itself; the number of iterations of one search is resample_every={resample_every}")
        object.__setattr__(self, "method", known[method.lower()])
        object.__setattr__(self, "resample_every", check_whole("resample_every of Scipy", resample_every))
        object.__setattr__(self, "options", frozen(options, "Scipy"))

    def __str__(self) -> str:
        period = {} if self.resample_every == 20 else {"resample_every": self.resample_every}
        return call("Scipy", self.method, **period, **dict(self.options))

    def replaced(self, **changes: Any) -> Self:
        """Return the part with other values in some of its fields; the options stay."""
        own: dict[str, Any] = {"method": self.method, "resample_every": self.resample_every}
        return type(self)(**own | dict(self.options) | changes)

    @property
    def stride(self) -> int:
        """One step for each iteration."""
        return self.resample_every

    def search(self, params: Tensor, gradient: Tensor, state: State, context: SearchContext) -> tuple[Tensor, State]:
        """Let the method iterate for each sample, from where it is."""
        from scipy.optimize import Bounds, OptimizeWarning

        count = params[0].numel()
        most = (_SQUARES | _MATRICES).get(self.method)
        if most is not None and count > most:
            raise UsageError(
                f"scipy's {self.method} keeps a matrix of {count} x {count} numbers for {count} parameters; "
                f"up to {most} it can be used here, above that L-BFGS-B, CG or TNC"
            )
        iterations = max(1, min(self.resample_every, context.step.steps - context.step.step))
        ends = [None if end is None else (end / context.unit).expand(params[:1].shape) for end in context.bounds]
        bounds = [
            np.full(count, free) if end is None else end.reshape(-1).to(torch.float64).cpu().numpy()
            for end, free in zip(ends, (-np.inf, np.inf), strict=True)
        ]

        def solve(query: Query, start: Tensor) -> Tensor:
            return torch.from_numpy(self._minimize(query, start.cpu().numpy(), Bounds(bounds[0], bounds[1]), iterations))

        with warnings.catch_warnings():
            # A search that ends short of its tolerances is the usual case here.
            warnings.filterwarnings("ignore", module=r"scipy\.")
            warnings.filterwarnings("error", "Unknown solver options", OptimizeWarning)
            solvers = dict.fromkeys(range(len(params)), solve)
            return minimize_batch(solvers, params, gradient, context, slopes(gradient, context.unit)), state

    def _minimize(self, query: Query, start: Vector, bounds: Bounds, iterations: int) -> Vector:
        from scipy.optimize import OptimizeWarning, minimize

        path = _Path(query)
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
        except _IterationLimitError:
            pass
        except (TypeError, OptimizeWarning, ValueError, np.linalg.LinAlgError) as problem:
            # Later ones are about numbers met on the way; the best position until then is the result.
            if path.evaluations <= 1 or isinstance(problem, TypeError | OptimizeWarning):
                raise UsageError(f"scipy's {self.method} does not take these options: {problem}") from problem
        return start if path.best is None else path.best


class _IterationLimitError(Exception):
    """Ends a method that counts no iterations."""


class _Count:
    """A callback that ends a method after so many iterations."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, position: Vector) -> None:
        self.left -= 1
        if self.left <= 0:
            raise _IterationLimitError


class _Path:
    """The evaluations of one minimisation; it remembers the best position."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._last: tuple[Vector, Vector] | None = None
        self._lowest = np.inf
        self.best: Vector | None = None
        self.evaluations = 0

    def __call__(self, position: Vector) -> tuple[float, Vector]:
        value, slope = self._query(torch.from_numpy(np.array(position, dtype=np.float64)))
        gradient: Vector = slope.cpu().numpy()
        self._last = (np.array(position), gradient)
        self.evaluations += 1
        if value < self._lowest:
            self._lowest, self.best = value, np.array(position)
        return value, gradient.copy()

    def _slope(self, position: Vector) -> Vector:
        if self._last is None or not np.array_equal(self._last[0], position):
            self(position)
        assert self._last is not None
        return self._last[1]

    def product(self, position: Vector, direction: Vector) -> Vector:
        """Return the second derivative times a direction, from two gradients."""
        longest = float(np.abs(direction).max())
        if longest == 0:
            return np.zeros_like(direction)
        here = self._slope(position).copy()
        ahead = np.array(position + direction * (_DIFFERENCE_STEP / longest))
        _, slope = self._query(torch.from_numpy(ahead))
        return np.asarray((slope.cpu().numpy() - here) * (longest / _DIFFERENCE_STEP))

    def matrix(self, position: Vector) -> Vector:
        """Return the whole second derivative, one gradient for each column."""
        columns: Sequence[Vector] = [self.product(position, axis) for axis in np.eye(len(position))]
        matrix = np.stack(columns)
        return np.asarray((matrix + matrix.T) / 2)
