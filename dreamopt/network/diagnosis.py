"""Why a gradient is zero, or a value not finite: which layer, between the image and the objective, does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dreamopt.backends.base import RECTIFIERS
from dreamopt.objective.units import with_units

if TYPE_CHECKING:
    from dreamopt.backends.base import BackwardRule, LayerInfo
    from dreamopt.network import Network
    from dreamopt.objective import Objective

    Rule = str | BackwardRule | Sequence[str | BackwardRule]

# What they do to a gradient depends on their weights alone.
_PADDING = ", since all that counts of what it wrote lies where it saw nothing but its own padding"
_LINEAR = ("Convolution", "Deconvolution", "InnerProduct", "Scale")


def explain_dead(
    network: Network, objective: Objective, image: Tensor, rule: Rule | None = None, *, advice: bool = True, start: str = ""
) -> str:
    """Return one sentence on why an objective's gradient at an image is exactly zero.

    The layers below the objective are looked at from the top down: the first one whose output still gets a gradient, and
    whose inputs all get none, is the one that stopped it.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        Of the one item, bound to the network.
    image : Tensor
        (1, C, H, W), the input as the net saw it.
    rule : str, BackwardRule or a sequence of them, optional
        Of the backward pass that gave zeros.
    advice : bool
        Whether the sentence ends with what to do about it in an optimization.
    start : str
        Which other start has a gradient, as "start from seed 3"; by default none is advised, since it may have none either.
    """
    what = f"the gradient of {objective} is exactly zero"
    below = _below(network, objective)
    x = image.detach().requires_grad_()
    names = list(dict.fromkeys([*objective.layers, *(key for reads in below.values() for _, key in reads)]))
    with torch.enable_grad():
        activations = network.activations(x, names, between_layers=True, rule=rule)
        value = objective({layer: with_units(activations[layer]) for layer in objective.layers}).sum()
        attached = {name: act for name, act in activations.items() if act.requires_grad}
        if not value.requires_grad:
            loose = [layer for layer in objective.layers if layer not in attached]
            why = (
                f"layer {' and '.join(map(repr, loose))} does not depend on the input '{network.input_name}'"
                if loose
                else "its value is a constant"
            )
            return f"{what}: {why}; aim at a layer between the input and the output"
        found = torch.autograd.grad(value, list(attached.values()), retain_graph=True, allow_unused=True)
    grads = dict(zip(attached, found, strict=True))
    if not any(_has_gradient(grads.get(layer)) for layer in objective.layers):
        return f"{what}: its value does not change with the activations of {', '.join(objective.layers)} that it reads"
    rectified = None
    for info, reads in below.items():
        top = next((key for key in _value_names(info) if _has_gradient(grads.get(key))), None)
        if top is not None and reads and not any(_has_gradient(grads.get(key)) for _, key in reads):
            why = (rule is not None and _reason_of_rule(info, reads, activations, grads, top)) or _reason(
                info, reads, activations, grads, top
            )
            if not advice:
                return f"{what}: {info} lets nothing through{why}"
            if why == _PADDING and rectified is not None and _moves(activations[rectified[1]], x):
                other = f", or {start}" if start else ""
                return f"{what}: {info} lets nothing through{why}; aim at '{rectified[1]}', which is before '{rectified[0].name}'{other}"
            return f"{what}: {info} lets nothing through{why}; {_advice(info, reads, why, start)}"
        if info.type in RECTIFIERS and len(reads) == 1:
            rectified = (info, reads[0][1])
    return f"{what}: it vanishes on its way down from {', '.join(objective.layers)}" + (f"; {start}" if start else "")


def explain_nonfinite(network: Network, objective: Objective, image: Tensor) -> str:
    """Return one clause on the first layer whose values, or else whose gradients, are not finite.

    Values are looked at from the image up, gradients from the objective down.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        Of the one item, bound to the network.
    image : Tensor
        (views, C, H, W), the input as the net saw it, finite.
    """
    if not bool(torch.isfinite(image).all()):
        return "the transforms make an image that is not finite"
    for view in range(len(image)):
        found = _nonfinite(network, objective, image[view : view + 1])
        if found is not None:
            return found
    return "what is not finite does not show again when the item is computed alone"


def _nonfinite(network: Network, objective: Objective, image: Tensor) -> str | None:
    below = _below(network, objective)
    x = image.detach().requires_grad_()
    names = list(dict.fromkeys([*objective.layers, *(key for reads in below.values() for _, key in reads)]))
    with torch.enable_grad():
        activations = network.activations(x, names, between_layers=True)
        for info, reads in reversed(below.items()):
            key = next((key for key in _value_names(info) if key in activations and _count_nonfinite(activations[key])), None)
            if key is not None:
                most = max((float(activations[read].detach().abs().max()) for _, read in reads), default=float(x.detach().abs().max()))
                kinds = _count_nonfinite(activations[key])
                return f"{info} is the first whose values are not finite ({kinds}); what it reads goes up to {most:.3g} in size"
        value = objective({layer: with_units(activations[layer]) for layer in objective.layers}).sum()
        if not bool(torch.isfinite(value)):
            return f"{objective} is {value.item()}, though the activations that it reads are finite"
        attached = {name: act for name, act in activations.items() if act.requires_grad}
        if not value.requires_grad or not attached:
            return None
        found = torch.autograd.grad(value, list(attached.values()), retain_graph=True, allow_unused=True)
    grads = {name: grad for name, grad in zip(attached, found, strict=True) if grad is not None}
    if any(_count_nonfinite(grads[layer]) for layer in objective.layers if layer in grads):
        return f"the gradient of {objective} with respect to the activations that it reads is not finite"
    for info, reads in below.items():
        key = next((key for _, key in reads if key in grads and _count_nonfinite(grads[key])), None)
        if key is not None:
            count = _count_nonfinite(grads[key])
            return f"{info} is the first, from the objective down, that hands on a gradient that is not finite ({count})"
    return None


def _count_nonfinite(values: Tensor) -> str:
    """Return how many values are not finite, in words; nothing where all are."""
    count = int((~torch.isfinite(values)).sum())
    return f"{count} of {values.numel()}" if count else ""


def _below(network: Network, objective: Objective) -> dict[LayerInfo, list[tuple[LayerInfo, str]]]:
    """Return the layers from the objective down to the input, topmost first, each with the values it reads."""
    graph = network.graph
    return {network.layers[i]: [(network.layers[at], graph.name(at, j)) for at, j in graph.reads[i]] for i in graph.below(objective.layers)}


def _value_names(info: LayerInfo) -> list[str]:
    return [info.name, *info.tops] if len(info.tops) > 1 else [info.name]


def _has_gradient(grad: Tensor | None) -> bool:
    return grad is not None and bool((grad != 0).any())


def _moves(values: Tensor, x: Tensor) -> bool:
    """Return whether the image has a gradient of the sum of these values."""
    (found,) = torch.autograd.grad(values.sum(), x, retain_graph=True, allow_unused=True)
    return _has_gradient(found)


def _reason(
    info: LayerInfo, reads: list[tuple[LayerInfo, str]], activations: Mapping[str, Tensor], grads: Mapping[str, Tensor | None], top: str
) -> str:
    if info.stops:
        return f", since its propagate_down is false for {' and '.join(map(repr, info.stops))}"
    grad, read = grads[top], activations[reads[0][1]]
    if info.type == "ReLU" and grad is not None and grad.shape == read.shape:
        wanted = read[grad != 0]
        if bool((wanted <= 0).all()):
            values = "the one value that it gets is" if wanted.numel() == 1 else f"all {wanted.numel()} values that count are"
            return f", since {values} negative (the largest is {wanted.max().item():.3g})"
    if info.type in _LINEAR and len(reads) == 1:
        # Probed at the place in the middle: only weights of zero stop a gradient there.
        return ", since all its weights that count are zero" if _weights_are_zero(grad, activations[top], read) else _PADDING
    if not bool(torch.isfinite(read).all()):
        return f", and what it reads from '{reads[0][1]}' is not finite"
    return ""


def _reason_of_rule(
    info: LayerInfo, reads: list[tuple[LayerInfo, str]], activations: Mapping[str, Tensor], grads: Mapping[str, Tensor | None], top: str
) -> str:
    """Return why a rule for ReLUs, which pass on what is positive alone, lets nothing through; empty where it is something else."""
    grad, read = grads[top], activations[reads[0][1]]
    if info.type not in RECTIFIERS or grad is None or grad.shape != read.shape:
        return ""
    count = int((grad != 0).sum())
    if not bool((grad > 0).any()):
        return f", since all {count} gradients that it gets are negative, and the rule passes on positive ones alone"
    positive = int((grad > 0).sum())
    return f", since of the {count} gradients that it gets {positive} are positive, all of them where its input is negative"


def _weights_are_zero(grad: Tensor | None, made: Tensor, read: Tensor) -> bool:
    """Return whether the channels that get a gradient let none through in the middle of the map either."""
    if grad is None or made.dim() != 4 or not made.requires_grad:
        return True
    height, width = made.shape[2:]
    probe = torch.zeros_like(made)
    channels = (grad != 0).any(3).any(2)
    probe[:, :, height // 2, width // 2] = channels.to(probe)
    (found,) = torch.autograd.grad(made, read, probe, retain_graph=True, allow_unused=True)
    return found is None or not bool((found != 0).any())


def _advice(info: LayerInfo, reads: list[tuple[LayerInfo, str]], why: str, start: str) -> str:
    other = f", or {start}" if start else ""
    if info.stops:
        return f"aim at '{reads[0][1]}', which is below it, or take propagate_down out of the file"
    if info.type == "ReLU":
        return f"aim at '{reads[0][1]}', which is before it{other}"
    if info.type in _LINEAR and len(reads) == 1 and why != _PADDING:
        return f"load weights for it, or aim at '{reads[0][1]}', which is below it"
    return f"aim at '{reads[0][1]}', which is below it{other}"
