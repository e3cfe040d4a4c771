"""Every part of a rendering on a device against the CPU: three steps of the embedded net with each part alone.

`benchmarks.gpu_check` calls it. What a part draws at random is drawn on the CPU, so both sides see the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

import dreamopt
from dreamopt.image.parametrization import parametrizations
from dreamopt.image.transform import transforms
from dreamopt.objective import objectives
from dreamopt.optimize import Adam, run
from dreamopt.optimize.optimizer import optimizers, parse_optimizer
from dreamopt.recipes.preset import presets
from dreamopt.regularizer import regularizers

SIZE = 40
OBJECTIVES = {
    "alignment": 'conv2:3 + alignment("conv2")',
    "caricature": 'caricature("conv2", "{photo}")',
    "channel": "conv2:3",
    "class_score": "scores:3",
    "direction": 'direction("conv2", {vector}, power=1)',
    "direction_neuron": 'direction_neuron("conv2", {vector}, 2, 3)',
    "diversity": 'conv2:3 - diversity("conv2")',
    "energy": "conv2",
    "guide": 'guide("conv2", "{photo}")',
    "interpolate": 'interpolate("conv2", 3, other=5, count=2)',
    "inversion": 'inversion("conv2", "{photo}")',
    "log_probability": 'log_probability("scores", 3)',
    "neuron": "conv2:3@centre",
    "places": "conv2:3@(2,2;3,3)",
    "style": 'style("conv2", "{photo}")',
    "tensor_direction": 'tensor_direction("conv2", "{tensor}")',
}
REGULARIZERS = (
    "alpha_norm(1e-12)",
    "bilateral()",
    "blur_difference(1e-5)",
    "boundary_complexity(1e-5)",
    "centre_bias(0.1)",
    "decay(0.1)",
    "gaussian_blur(0.7)",
    "l1(1e-6)",
    "l2(1e-6)",
    "linf(1e-3)",
    "lp_norm(1e-3)",
    "mean_colour(1e-3)",
    "norm_ball(2, 'linf')",
    "range_clip(50, 200)",
    "small_contribution(20)",
    "small_norm(20)",
    "small_value(20)",
    "spectral(1e-4)",
    "stencil('{photo}')",
    "total_variation(1e-6)",
    "tv_bregman(0.1)",
    "wavelet()",
    "window(decay(0.1))",
)
PARAMETRIZATIONS = ("pixels", "fourier", "laplacian", "cppn", "shared", "alpha(fourier())", "maco()")
TRANSFORMS = (
    "affine(degrees=5)",
    "blur(between=(0.5, 1))",
    "center_crop(36)",
    "crop_jitter(4)",
    "crop_or_pad(44)",
    "flip()",
    "gradient_mask(4)",
    "jitter(4)",
    "noise(4)",
    "normal_crop(36)",
    "pad(4)",
    "random_crop_resize()",
    "resize(36)",
    "rotate(between=(-5, 5))",
    "scale(between=(0.9, 1.1))",
    "translate(-2, 2)",
)
OPTIMIZERS = (
    "adam",
    "adam_w",
    "ascent",
    "lbfgs(resample_every=2)",
    "momentum(100)",
    "nadam",
    "plain(100)",
    "progressive",
    "progressive01",
    "rmsprop",
    "scipy('L-BFGS-B', resample_every=2)",
    "torch('RAdam')",
)
NOT_ALONE = {"generator"}
"""Needs a net that makes images; the preset nguyen2016-dgn is left out for the same reason."""


def problems(values: dict[str, str]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield for each part its name, the arguments of a problem, and an optimizer; ``values`` fill the strings' places."""
    base: dict[str, Any] = {"objective": "conv2:3", "batch": 2, "parametrization": "pixels"}
    for text in OBJECTIVES.values():
        filled = text.format(**values) if "{" in text else text
        yield filled.replace(values["vector"], "..."), base | {"objective": filled}, "adam"
    for text in REGULARIZERS:
        yield text, base | {"regularizers": [text.format(**values)]}, "ascent"
    for text in PARAMETRIZATIONS:
        yield text, base | {"parametrization": text}, "adam"
    for text in TRANSFORMS:
        yield text, base | {"transforms": [text], "views": 2}, "ascent"
    for text in OPTIMIZERS:
        yield text, base, text


def check_parts(device: str, values: dict[str, str]) -> list[tuple[str, float]]:
    """Return for each part how far the images of the device are from the CPU's after three steps, in grey levels."""
    nets = [dreamopt.load_net(device=where) for where in ("cpu", device)]
    found = []
    for name, arguments, optimizer in problems(values):
        made = []
        for net in nets:
            problem = dreamopt.Problem(net, size=SIZE, redirected=2, **arguments)
            made.append(run(problem, parse_optimizer(optimizer) if optimizer != "adam" else Adam(), 3).images.cpu())
        found.append((name, float((made[0] - made[1]).abs().max())))
    for preset in presets():
        if preset.name in {"nguyen2016-dgn", "mahendran2015"}:
            continue
        pictures = []
        for net in nets:
            changes: dict[str, Any] = {"steps": 2, "views": 1}
            stages = [{**stage, "steps": 1} for stage in preset.fields["stages"]]
            rendered = dreamopt.render(net, "scores:3", preset.settings, stages=stages, **changes)
            pictures.append(torch.from_numpy(rendered[0].image.astype("float32")))
        found.append((preset.name, float((pictures[0] - pictures[1]).abs().max())))
    return found


def uncovered() -> dict[str, set[str]]:
    """Return the registered parts that no line here names."""
    told = {
        "objectives": set(OBJECTIVES),
        "regularizers": {text.partition("(")[0] for text in REGULARIZERS},
        "parametrizations": {text.partition("(")[0] for text in PARAMETRIZATIONS} | NOT_ALONE,
        "transforms": {text.partition("(")[0] for text in TRANSFORMS},
        "optimizers": {text.partition("(")[0] for text in OPTIMIZERS},
    }
    registries: dict[str, Any] = {
        "objectives": objectives,
        "regularizers": regularizers,
        "optimizers": optimizers,
        "parametrizations": parametrizations,
        "transforms": transforms,
    }
    return {kind: set(registries[kind].names()) - names for kind, names in told.items()}
