"""Attribution methods beside f/grad, and beside Captum on the same net as a torch module with the same weights.

``python -m benchmarks.attributions [--rounds N] [--batch N]`` prints medians, the contestants in turns; `test_attribution.py` is the same
through pytest-benchmark.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.cases import load, load_network, random_image, required
from dreamopt.attribution.attribute import Explained
from dreamopt.network import Network
from dreamopt.problem import Problem

NET, LAYER, UNIT = "squeezenet", "pool_final", 281
STEPS, TOGETHER, WINDOW, STRIDE = 20, 16, 56, 28
METHODS = {
    "gradient": "gradient",
    "saliency": "saliency",
    "guided_backprop": "guided_backprop",
    "deconvnet": "deconvnet",
    "lrp": "lrp('epsilon')",
    "lrp epsilon_plus": "lrp('epsilon_plus')",
    "lrp alpha_beta": "lrp('alpha_beta')",
    "integrated_gradients": f"integrated_gradients(steps={STEPS})",
    "occlusion": f"occlusion(window={WINDOW}, stride={STRIDE})",
}
"""What is timed, and what dreamopt calls it."""
Work = Callable[[], Any]


class TorchNet(nn.Module):
    """A net of convolutions, ReLUs, pooling and Concat as torch modules, one for each layer, which Captum can hook.

    Parameters
    ----------
    name : str
        The case's name.
    last : str
        The layer whose values are the scores.
    """

    def __init__(self, name: str, last: str) -> None:
        super().__init__()
        net = load(required(name))
        self.first = net.inputs[0]
        self.steps: list[tuple[str, str, list[str], list[str]]] = []
        for node in net.nodes:
            layer = node.layer
            if layer.type == "Input":
                continue
            module = _module(node)
            if module is not None:
                self.add_module(layer.name.replace("/", "_"), module)
            self.steps.append((layer.name.replace("/", "_"), layer.type, list(layer.param.bottom), list(layer.param.top)))
            if layer.name == last:
                break

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores, (N, K)."""
        values = {self.first: x}
        for name, type_, bottoms, tops in self.steps:
            if type_ == "Split":
                values |= dict.fromkeys(tops, values[bottoms[0]])
            elif type_ == "Concat":
                values[tops[0]] = torch.cat([values[bottom] for bottom in bottoms], 1)
            else:
                values[tops[0]] = getattr(self, name)(values[bottoms[0]])
        return values[tops[0]].flatten(1)


def _module(node: Any) -> nn.Module | None:
    layer = node.layer
    if layer.type == "Convolution":
        w, b = (torch.tensor(blob.data) for blob in node.weights)
        kernel, stride, pad = layer.windows.kernel, layer.windows.stride, layer.windows.pad
        module = nn.Conv2d(w.shape[1], w.shape[0], kernel, stride, pad)
        with torch.no_grad():
            module.weight.copy_(w)
            assert module.bias is not None
            module.bias.copy_(b)
        return module
    if layer.type == "ReLU":
        return nn.ReLU()
    if layer.type == "Dropout":
        return nn.Dropout()
    if layer.type == "Pooling":
        p = layer.param.pooling_param
        if p.pool == p.MAX:
            return nn.MaxPool2d(layer.kernel, layer.stride, layer.pad, ceil_mode=True)
        return nn.AdaptiveAvgPool2d(1)
    assert layer.type in ("Split", "Concat"), layer.type
    return None


def of_dreamopt(network: Network, method: str, images: Tensor) -> Work:
    """Return what makes a map of each image."""
    target = f"{LAYER}:{UNIT}"
    return lambda: Explained.of(network, list(images), target).attribute(METHODS[method], batch=TOGETHER)


def of_captum(model: nn.Module, method: str, images: Tensor) -> Work | None:
    """Return the same by Captum; None where it has no such method."""
    from captum.attr import LRP, Deconvolution, GuidedBackprop, IntegratedGradients, Occlusion, Saliency

    x = images.clone().requires_grad_()
    if method == "gradient":
        return lambda: Saliency(model).attribute(x, target=UNIT, abs=False)
    if method == "saliency":
        return lambda: Saliency(model).attribute(x, target=UNIT).amax(1)
    if method == "guided_backprop":
        return lambda: GuidedBackprop(model).attribute(x, target=UNIT)
    if method == "deconvnet":
        return lambda: Deconvolution(model).attribute(x, target=UNIT)
    if method == "lrp":
        return lambda: LRP(model).attribute(x, target=UNIT)
    if method == "integrated_gradients":
        return lambda: IntegratedGradients(model).attribute(x, target=UNIT, n_steps=STEPS, internal_batch_size=TOGETHER)
    if method == "occlusion":
        window, strides = (images.shape[1], WINDOW, WINDOW), (images.shape[1], STRIDE, STRIDE)
        return lambda: Occlusion(model).attribute(images, window, strides, target=UNIT, perturbations_per_eval=TOGETHER)
    return None


def f_grad(network: Network, images: Tensor) -> Work:
    """Return f and its gradient for the same images, as an optimization evaluates it."""
    problem = Problem(network, f"{LAYER}:{UNIT}", batch=len(images))
    return lambda: problem.evaluate(images)


def inputs(batch: int) -> Tensor:
    """Draw images of the net's size, in its input space."""
    return torch.from_numpy(random_image(load(required(NET)), batch))


def measure(rounds: int, batch: int) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of each method by both, in turns, and of f/grad."""
    network, model, images = load_network(required(NET)), TorchNet(NET, LAYER).eval(), inputs(batch)
    work: dict[tuple[str, str], Work] = {("f/grad", "dreamopt"): f_grad(network, images)}
    for method in METHODS:
        work[method, "dreamopt"] = of_dreamopt(network, method, images)
        by_captum = of_captum(model, method, images)
        if by_captum is not None:
            work[method, "captum"] = by_captum
    times: dict[tuple[str, str], list[float]] = {key: [] for key in work}
    for go in range(rounds + 1):
        for key, run in work.items():
            started = time.perf_counter()
            run()
            if go:  # the first finds cold caches
                times[key].append(1e3 * (time.perf_counter() - started))
    found: dict[str, dict[str, float]] = {}
    for (method, who), ms in times.items():
        found.setdefault(method, {})[who] = statistics.median(ms)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks", UserWarning)  # Captum's guided backpropagation and deconvnet
        found = measure(arguments.rounds, arguments.batch)
    unit = found["f/grad"]["dreamopt"]
    table = Table("", "dreamopt, ms", "of f/grad", "Captum, ms", "Captum / dreamopt")
    for method, ms in found.items():
        captum = ms.get("captum")
        row = [f"{ms['dreamopt']:.0f}", f"{ms['dreamopt'] / unit:.2f}"]
        table.add_row(method, *row, *(("", "") if captum is None else (f"{captum:.0f}", f"{captum / ms['dreamopt']:.2f}")))
    Console().print(table)


if __name__ == "__main__":
    main()
