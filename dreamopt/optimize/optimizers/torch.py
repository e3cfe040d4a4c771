"""torch's optimizers, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.optimize.optimizer import Optimizer, State
from dreamopt.optimize.options import Options, call, copied, frozen
from dreamopt.parts.checks import POSITIVE, check_scheduled
from dreamopt.parts.part import literal
from dreamopt.parts.schedule import Number, StepContext, at
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True, init=False)
class Torch(Optimizer):
    """Any class of `torch.optim` that steps by a gradient alone; each sample is a parameter of its own.

    The class sees parameters in grey levels, and minimises the negative value; so its learning rate, weight decay and
    epsilons count grey levels, and mean the same for every net. Adam, AdamW, NAdam and RMSprop are here by themselves, and
    faster.

    Parameters
    ----------
    name : str
        As in torch: Adadelta, Adagrad, Adamax, RAdam, Rprop, SGD, ... in any case of letters.
    lr : float or Schedule
        Learning rate, above 0: grey levels where the class divides by the gradient's size (torch's own defaults, made for
        weights, would hardly move an image); for SGD and ASGD grey levels squared per unit of the objective.
    **options
        What else the class takes, for instance ``betas=(0.8, 0.99)``. With ``weight_decay``, parameters move even where
        the gradient is zero.

    Raises
    ------
    UsageError
        For a class that there is not, one that cannot optimize an image, or options that it does not take.

    Examples
    --------
    >>> print(Torch("radam", betas=(0.8, 0.99)))
    Torch("RAdam", betas=(0.8, 0.99))
    """

    examples: ClassVar[tuple[str, ...]] = (
        'torch("RAdam")',
        'torch("Adadelta")',
        'torch("Adagrad")',
        'torch("Adam")',
        'torch("AdamW")',
        'torch("Adamax")',
        'torch("NAdam")',
        'torch("RMSprop")',
        'torch("Rprop")',
        'torch("Adafactor")',
        'torch("SGD", lr=0.1)',
        'torch("ASGD", lr=0.1)',
        'torch("SGD", Linear(0.2, 0.1), momentum=0.9, nesterov=True)',
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"lr": Tuned(0.25, 16)}

    name: str
    lr: Number
    options: Options

    def __init__(self, name: str, lr: Number = 2.0, **options: Any) -> None:
        known = _classes()
        if str(name).lower() not in known:
            raise UsageError(f"torch.optim has no class '{name}'; it has {', '.join(method.__name__ for method in known.values())}")
        object.__setattr__(self, "name", known[name.lower()].__name__)
        object.__setattr__(self, "lr", check_scheduled(f"lr of torch.optim.{self.name}", lr, POSITIVE))
        object.__setattr__(self, "options", frozen(options, "Torch"))
        self._try()

    def _try(self) -> None:
        """Raise UsageError if the class cannot make two steps."""
        if self.name == "LBFGS":
            raise UsageError("torch.optim.LBFGS asks for values itself, which is done by the optimizer LBFGS")
        if "maximize" in dict(self.options):
            raise UsageError("objectives are always maximised; Torch takes no option maximize")
        leaf, state = torch.ones(1, 2, 3, 4), self.start(torch.ones(1, 2, 3, 4))
        try:
            for step in range(2):
                leaf, state = self.step(leaf, torch.full_like(leaf, 0.5), state, StepContext(step, 2), 1.0)
        except Exception as problem:  # whatever a class of torch's, or of the user's options, raises
            message = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise UsageError(f"{self} cannot optimize an image: {message}") from problem
        if not bool(torch.isfinite(leaf).all()):
            raise UsageError(f"{self} cannot optimize an image: its step is not finite")

    def tuned_ranges(self) -> Mapping[str, Tuned]:
        """Return the range of the learning rate, which counts something else where a class follows the gradient's length."""
        return {"lr": Tuned(1, 10_000)} if self.name in ("SGD", "ASGD") else self.tuned

    def replaced(self, **changes: Any) -> Self:
        """Return the part with other values in some of its fields; the options stay."""
        return type(self)(**{"name": self.name, "lr": self.lr} | dict(self.options) | changes)

    @property
    def moves_without_gradient(self) -> bool:
        """Whether the class decays parameters, by its default or by an option."""
        defaults = {name: parameter.default for name, parameter in inspect.signature(_classes()[self.name.lower()]).parameters.items()}
        return any((defaults | dict(self.options)).get(name) for name in ("weight_decay", "lambd"))

    def __str__(self) -> str:
        lr = {} if self.lr == 2.0 else {"lr": self.lr}
        return call("Torch", self.name, **lr, **dict(self.options))

    def __repr__(self) -> str:
        return f"Torch({literal(self.name)}, options={self.options!r}, lr={self.lr!r})"

    def start(self, params: Tensor) -> State:
        """Return an empty memory for each sample."""
        return {"memory": [{} for _ in range(len(params))]}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Let a fresh optimizer with the samples' memory make one step."""
        starts = params / unit
        # Clones: a slice of the batch would let a step that writes in place reach the batch.
        leaves = [start.clone().requires_grad_() for start in starts]
        method = _classes()[self.name.lower()](leaves, lr=self._rate(context), **dict(self.options))
        memories: list[Mapping[str, Any]] = state["memory"]
        for leaf, slope, memory in zip(leaves, gradient, memories, strict=True):
            leaf.grad = slope * -unit
            if memory:
                method.state[leaf].update({key: copied(value, leaf) for key, value in memory.items()})
        method.step()
        moved = torch.stack([leaf.detach() for leaf in leaves])
        # Not `moved * unit`: what has not moved must keep its bits.
        return params + (moved - starts) * unit, {"memory": [dict(method.state[leaf]) for leaf in leaves]}

    def _rate(self, context: StepContext) -> float:
        return at(self.lr, context)


def _classes() -> dict[str, Any]:
    base = torch.optim.Optimizer
    classes = {name: method for name, method in vars(torch.optim).items() if inspect.isclass(method) and issubclass(method, base)}
    return {name.lower(): method for name, method in sorted(classes.items()) if method is not base}
