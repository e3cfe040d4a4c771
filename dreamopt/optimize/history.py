"""What has been measured during a run, sample by sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dreamopt.optimize.optimizer import per_item
from dreamopt.optimize.patience import Patience


@dataclass(frozen=True, eq=False)
class History:
    """The run so far, sample by sample; its tensors stay on the device, and a new one is made at each step.

    Parameters
    ----------
    best_params, best_values, best_steps : Tensor
        The highest value of each sample, its parameters, and how many steps had been made; -1 where none was measured.
    active : Tensor
        (N,) which samples are still optimized.
    first_params, first_steps : Tensor
        The first parameters at which each sample's unit was the highest of its layer; -1 where it has not been.
    better_values, better_steps : Tensor
        (N,) the last value that `Patience` took for better, and when.
    reports_argmax : bool
        Whether the objective can tell when that is so.
    transparency : Tensor or None
        (N, C, H, W) the sum over the steps of the size of the gradient at the image.
    measured : list of (int, Tensor)
        Steps made and values, the first ``rows`` of them; later ones are of a step that was not finished.
    halved : tuple of int
        How many times each sample's steps have been halved.
    redirected : Tensor or None
        (N,) at how many steps gradients of each sample were redirected at ReLUs; None where they never could be.
    redirected_at : mapping of str to Tensor
        The same for each ReLU, by the layer's name.
    stopped, setbacks, dead : mapping of int to str
        By place in the batch: why a sample was stopped; what made it go back; why its gradient was zero at the start.
    restarted : tuple of int or None
        Which restart each sample started from; None for the first start.
    """

    best_params: Tensor
    best_values: Tensor
    best_steps: Tensor
    active: Tensor
    first_params: Tensor
    first_steps: Tensor
    better_values: Tensor
    better_steps: Tensor
    transparency: Tensor | None
    halved: tuple[int, ...]
    measured: list[tuple[int, Tensor]] = field(default_factory=list)
    rows: int = 0
    reports_argmax: bool = False
    redirected: Tensor | None = None
    redirected_at: Mapping[str, Tensor] = field(default_factory=dict)
    stopped: Mapping[int, str] = field(default_factory=dict)
    setbacks: Mapping[int, str] = field(default_factory=dict)
    dead: Mapping[int, str] = field(default_factory=dict)
    restarted: tuple[int | None, ...] = ()

    @property
    def all_active(self) -> bool:
        """Whether no sample has been stopped."""
        return not self.stopped

    @property
    def any_active(self) -> bool:
        """Whether any sample is still optimized."""
        return len(self.stopped) < len(self.halved)

    def _with(self, changes: Mapping[str, Any]) -> History:
        # dataclasses.replace takes as long as a small optimizer's step.
        changed = object.__new__(History)
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed

    def with_values(
        self,
        step: int,
        params: Tensor,
        values: Tensor,
        is_argmax: Tensor | None = None,
        patience: Patience | None = None,
        finite: bool = False,
        frugal: bool = False,
    ) -> History:
        """Add the values of ``params``, measured after ``step`` steps; ``finite`` where all are known to be.

        A ``frugal`` run keeps no other parameters than these.
        """
        del self.measured[self.rows :]
        self.measured.append((step, values))
        better = values > self.best_values
        if not (finite and self.all_active):
            better &= torch.isfinite(values) & self.active
        changes: dict[str, Any] = {
            "best_params": params if frugal else where_sample(better, params, self.best_params),
            "best_values": torch.where(better, values, self.best_values),
            "best_steps": torch.where(better, step, self.best_steps),
            "rows": self.rows + 1,
        }
        if is_argmax is not None:
            changes["reports_argmax"] = True
            newly = is_argmax & self.active & (self.first_steps < 0)
            changes["first_steps"] = torch.where(newly, step, self.first_steps)
            if not frugal:
                changes["first_params"] = where_sample(newly, params, self.first_params)
        if frugal:
            changes["first_params"] = params
        history = self._with(changes)
        return history if patience is None else history._stop_impatient(step, values, patience)

    def _stop_impatient(self, step: int, values: Tensor, patience: Patience) -> History:
        known = torch.isfinite(self.better_values)
        goal = self.better_values + (patience.relative * self.better_values.abs()).clamp(min=patience.improvement)
        better = torch.isfinite(values) & (~known | (values > goal))
        steps = torch.where(better, step, self.better_steps)
        history = self._with({"better_values": torch.where(better, values, self.better_values), "better_steps": steps})
        late = self.active & (step - history.better_steps >= patience.steps)
        why = f"no better value within {patience.steps} steps, after {step} steps"
        return history.stop({k: why for k, is_late in enumerate(late.tolist()) if is_late})

    def with_redirected(self, redirected: Tensor | None, at: Mapping[str, Tensor]) -> History:
        """Count a step at which the gradients of samples, (N,) bool, were redirected, and where; None if they could not be."""
        if redirected is None:
            return self
        steps = redirected.to(torch.int64)
        counts = {layer: self.redirected_at.get(layer, torch.zeros_like(steps)) + samples for layer, samples in at.items()}
        total = steps if self.redirected is None else self.redirected + steps
        return self._with({"redirected": total, "redirected_at": {**self.redirected_at, **counts}})

    def stop(self, why: Mapping[int, str]) -> History:
        """Stop samples, each for a reason."""
        if not why:
            return self
        active = [k not in why and k not in self.stopped for k in range(len(self.halved))]
        return self._with({"active": torch.tensor(active, device=self.active.device), "stopped": {**self.stopped, **why}})

    def halve(self, why: Mapping[int, str]) -> History:
        """Halve the steps of samples from now on."""
        halved = tuple(count + (k in why) for k, count in enumerate(self.halved))
        return self._with({"halved": halved, "setbacks": {**why, **self.setbacks}})

    def accumulate_saliency(self, gradient: Tensor) -> History:
        """Add the size of the gradient at the image to the transparency, if that is asked for."""
        if self.transparency is None:
            return self
        return self._with({"transparency": self.transparency + gradient.abs()})

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        measured = self.measured[: self.rows]
        fields["measured"] = torch.stack([values for _, values in measured]) if measured else self.best_values[:0]
        return fields | {
            "measured_steps": [step for step, _ in measured],
            "halved": list(self.halved),
            "restarted": list(self.restarted),
            **{name: dict(fields[name]) for name in ("stopped", "setbacks", "dead", "redirected_at")},
        }


def empty(params: Tensor, image: Tensor | None) -> History:
    """Return the history before the first step; with an image (N, C, H, W), one that sums the transparency."""
    n, device = params.shape[0], params.device
    lowest = torch.full((n,), -torch.inf, dtype=params.dtype, device=device)
    never = torch.full((n,), -1, dtype=torch.int64, device=device)
    return History(
        best_params=params,
        best_values=lowest,
        best_steps=never,
        active=torch.ones(n, dtype=torch.bool, device=device),
        first_params=params,
        first_steps=never,
        better_values=lowest,
        better_steps=torch.zeros_like(never),
        transparency=None if image is None else torch.zeros_like(image),
        halved=(0,) * n,
        restarted=(None,) * n,
    )


def from_dict(data: Mapping[str, Any], device: torch.device) -> History:
    """Return the history that `History.to_dict` was made from."""
    fields = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in data.items()}
    fields["redirected_at"] = {layer: counts.to(device) for layer, counts in data["redirected_at"].items()}
    steps, values = fields.pop("measured_steps"), fields.pop("measured").unbind(0)
    tuples = {name: tuple(fields[name]) for name in ("halved", "restarted")}
    return History(**fields | {"measured": list(zip(steps, values, strict=True)), **tuples})


def where_sample(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return ``new`` (N, ...) for the samples in ``mask`` (N,), else ``old``."""
    # On a CPU a look at the mask costs less than a copy; a GPU would have to be waited for.
    if mask.device.type == "cpu":
        flags = mask.tolist()
        if not any(flags):
            return old
        if all(flags):
            return new
    return torch.where(per_item(mask, new), new, old)
