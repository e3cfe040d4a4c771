"""Attribution methods: maps of the images' shape, image by image, finite, the same each time."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, methods, parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.engine import EngineBackend
from dreamopt.engine.net import Net
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.objective import each
from dreamopt.objective.strings import as_objective
from dreamopt.schema import LayerWeights, parse_net
from dreamopt.testing.bench import Bench
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.kind import Kind, require, require_close

_FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.1 max: 0.5 }'
NET = f"""name: "attributions"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 19 dim: 17 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {{ num_output: 6 kernel_size: 3 {_FILLERS} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv1" top: "norm" }}
layer {{ name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param {{ bias_term: true }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "norm" top: "norm" }}
layer {{ name: "lrn" type: "LRN" bottom: "norm" top: "lrn" lrn_param {{ local_size: 3 }} }}
layer {{ name: "pool1" type: "Pooling" bottom: "lrn" top: "pool1" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "a" type: "Convolution" bottom: "pool1" top: "a" convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 {_FILLERS} }} }}
layer {{ name: "relu_a" type: "ReLU" bottom: "a" top: "a" }}
layer {{ name: "b" type: "Convolution" bottom: "pool1" top: "b" convolution_param {{ num_output: 5 kernel_size: 1 {_FILLERS} }} }}
layer {{ name: "elu_b" type: "ELU" bottom: "b" top: "b" }}
layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }}
layer {{ name: "both" type: "Concat" bottom: "sum" bottom: "pool1" top: "both" }}
layer {{ name: "conv3" type: "Convolution" bottom: "both" top: "conv3" convolution_param {{ num_output: 7 kernel_size: 3 {_FILLERS} }} }}
layer {{ name: "relu3" type: "ReLU" bottom: "conv3" top: "conv3" }}
layer {{ name: "mean" type: "Pooling" bottom: "conv3" top: "mean" pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "mean" top: "fc" inner_product_param {{ num_output: 4 {_FILLERS} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""
"""A classifier with branches, sums, normalization and pooling of both kinds."""
OBJECTIVES = ("fc:2", "-fc:1", "conv3:3@2,1", "0.5*both:6 - fc:0", "prob:1")


@cache
def network() -> Network:
    """Return the net of the checks."""
    # A BatchNorm without statistics divides by the root of its epsilon, and its values of thousands leave nothing of a gradient in LRN.
    mean, variance = np.linspace(-9, 16, 6, dtype=np.float32), np.linspace(400, 900, 6, dtype=np.float32)
    statistics = LayerWeights("norm", "BatchNorm", [mean, variance, np.ones(1, np.float32)])
    return Network(EngineBackend(Net(parse_net(NET, "attributions"), weights=[statistics], seed=7)), preprocessing_of(3))


def images(flat: bool = True) -> Tensor:
    """Return three images in the input space, the last one of one colour; or else of almost one."""
    noise = 60 * torch.randn(3, 3, 19, 17, generator=torch.Generator().manual_seed(3))
    noise[2] = 20 + (0 if flat else noise[2] / 60)
    return noise


def maps_of(method: AttributionMethod, objective: str, batch: Tensor) -> Maps:
    """Return a method's maps of a batch, each image of which has the same objective."""
    bound = as_objective(objective).bind(network(), (19, 17))
    return method.attribute(ScoreFunction(network(), bound, (19, 17), batch=11), batch)


def gives_maps_of_the_images_shape(method: AttributionMethod, bench: Bench) -> None:
    """Require finite values for each value or each place, for objectives of many kinds, and the same ones twice; images stay."""
    batch = images()
    for objective in OBJECTIVES:
        before = batch.clone()
        maps = maps_of(method, objective, batch)
        shapes = [tuple(batch.shape), (3, 1, 19, 17)]
        require(tuple(maps.values.shape) in shapes, f"{objective}: the maps have shape {tuple(maps.values.shape)}, not {shapes}")
        require(torch.isfinite(maps.values).all(), f"{objective}: the maps are not finite")
        require(method.signed or bool((maps.values >= 0).all()), f"{objective}: it says that it has no sign, and has values below 0")
        require(all(len(facts) == 3 for facts in maps.facts.values()), f"{objective}: its facts are not one for each image")
        require(torch.equal(before, batch), f"{objective}: it changes the images")
        require(torch.is_grad_enabled(), f"{objective}: it leaves gradients switched off")
        require_close(maps_of(method, objective, batch).values, maps.values, f"{objective}: attributed twice")


def says_something_of_the_image(method: AttributionMethod, bench: Bench) -> None:
    """Require a map that is not zero everywhere, and differs from image to image."""
    maps = maps_of(method, "fc:3", images()).values
    require(bool(maps[0].any()), "the map is zero everywhere")
    require(not torch.equal(maps[0], maps[1]), "two images have the same map")


def acts_image_by_image(method: AttributionMethod, bench: Bench) -> None:
    """Require that an image of a batch has the map of the image alone, whatever its place."""
    # In an image of one colour the rounding decides which value wins in max pooling, and depends on the size of the batch.
    batch = images(flat=False)
    for objective in ("-fc:1", "conv3:3@2,1"):
        whole = maps_of(method, objective, batch).values
        for i in range(3):
            size = float(whole[i].abs().max())
            alone = maps_of(method, objective, batch[i : i + 1]).values
            require_close(alone[0], whole[i], f"{objective}: image {i} alone and in the batch", rtol=1e-3, atol=1e-4 * size)


def takes_an_objective_for_each_image(method: AttributionMethod, bench: Bench) -> None:
    """Require that each image of a batch can have its own objective."""
    own = [as_objective(text).bind(network(), (19, 17)) for text in ("fc:2", "fc:0", "fc:3")]
    whole = method.attribute(ScoreFunction(network(), each(own), (19, 17), batch=5), images(flat=False)).values
    for i, text in enumerate(("fc:2", "fc:0", "fc:3")):
        size = float(whole[i].abs().max())
        alone = maps_of(method, text, images(flat=False)[i : i + 1]).values
        require_close(alone[0], whole[i], f"image {i} with {text}, alone and in the batch", rtol=1e-3, atol=1e-4 * size)


def knows_how_often_it_evaluates(method: AttributionMethod, bench: Bench) -> None:
    """Require that `evaluations`, where it says a number, is how often each image passes through the net."""
    passed: list[int] = []
    bound = as_objective("fc:2").bind(network(), (19, 17))
    method.attribute(ScoreFunction(network(), bound, (19, 17), batch=5, progress=passed.append), images()[:1])
    count = method.evaluations()
    require(count is None or count == sum(passed), f"evaluations() is {count}, but the image passed {sum(passed)} times")


KIND = Kind(
    "attributions",
    methods,
    parse_method,
    (
        is_immutable,
        prints_what_makes_it(parse_method),
        refuses_numbers_that_are_none,
        gives_maps_of_the_images_shape,
        says_something_of_the_image,
        acts_image_by_image,
        takes_an_objective_for_each_image,
        knows_how_often_it_evaluates,
    ),
)
