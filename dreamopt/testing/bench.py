"""What parts are checked on: a small net in float64, activations, images, files, and the values for the places of examples.

An example is a part's string with places to fill:

=====================================  ===========================================================================
``{layer}``, ``{layer2}``              names of two layers with rows and columns, in quotes, at least 4 channels each
``{classifier}``                       the name of a flat layer, in quotes, at least 7 units
``{label}``                            the name of one of its classes, in quotes
``{vector}``, ``{vector2}``, ...3      numbers, one for each channel of ``{layer}``
``{class_vector}``, ...2, ...3         numbers, one for each unit of ``{classifier}``
``{tensor}``, ``{tensor2}``, ...3      paths of .npy files of numbers (channels of ``{layer}``, 4, 3), in quotes
``{image}``, ``{image2}``, ``{image3}``  paths of colour images of different sizes, in quotes
``{mask}``                             the path of a grey image, in quotes
``{net}``, ``{weights}``, ``{code}``   paths of a net that makes images, its weights (or None), and an .npy file of a code for it
=====================================  ===========================================================================

Rows up to 6 and columns up to 8 exist in ``{layer}``; a batch has three samples.
"""

from __future__ import annotations

import atexit
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import UsageError
from dreamopt.image.files import write_image
from dreamopt.image.nets import register_image_net
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.part import literal
from dreamopt.parts.schedule import StepContext

SHAPE = (3, 11, 13)
"""The toy net's input: no two axes are equal."""
LABELS = ("n01440764 tench, Tinca tinca", "tabby cat", "crane", "ruler, rule", "crane", "great white shark", "potter's wheel (clay)")
MEAN = (104.0, 117.0, 123.0, 90.0, 80.0)
"""Of up to five channels, in grey levels."""
# Without weights, which would be random ones where no file says them.
GENERATOR = """name: "generator"
layer { name: "code" type: "Input" top: "code" input_param { shape { dim: 1 dim: 324 } } }
layer { name: "squashed" type: "TanH" bottom: "code" top: "squashed" }
layer { name: "scaled" type: "Power" bottom: "squashed" top: "scaled" power_param { scale: 90 } }
layer { name: "image" type: "Reshape" bottom: "scaled" top: "image" reshape_param { shape { dim: 0 dim: 3 dim: 12 dim: 9 } } }
"""


def toy_network(dtype: torch.dtype = torch.float64, channels: int = 3, scale: float = 1.0) -> Network:
    """Return a net of torch's functions for finite differences.

    Its layers are conv1 (4, 9, 11), tanh1, conv2 (5, 7, 9), relu2, pool (5, 3, 4), fc (7,), and low and dead (7,): a dead ReLU.
    """
    random = torch.Generator().manual_seed(0)
    w1, w2, w3 = (torch.randn(s, generator=random, dtype=torch.float64).to(dtype) for s in ((4, channels, 3, 3), (5, 4, 3, 3), (7, 60)))
    layers = [
        ("conv1", "Convolution", lambda x: functional.conv2d(x, 0.01 * w1 / scale)),
        ("tanh1", "TanH", torch.tanh),
        ("conv2", "Convolution", lambda x: functional.conv2d(x, 0.3 * w2)),
        ("relu2", "ReLU", torch.relu),
        ("pool", "Pooling", lambda x: functional.avg_pool2d(x, 2)),
        ("fc", "InnerProduct", lambda x: x.flatten(1) @ w3.T),
        ("low", "Power", lambda x: x * x * 0 - 1),
        ("dead", "ReLU", torch.relu),
    ]
    shape = (channels, *SHAPE[1:])
    mean = np.array([110.0, 120.0, 130.0, 100.0])[:channels]
    backend = FunctionBackend(layers, shape, weights=(w1, w2, w3), dtype=dtype)
    return Network(backend, preprocessing_of(channels, "BGR", mean, scale), LABELS)


def generator_network() -> Network:
    """Return a net of torch's functions from codes of 6 numbers to colour images of 12 by 9, float64."""
    weights = 30 * torch.randn(6, 3 * 12 * 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def image(code: Tensor) -> Tensor:
        return torch.cat([(row @ weights).tanh().mul(90).reshape(1, 3, 12, 9) for row in torch.split(code, 1)])

    return Network(FunctionBackend([("image", "Deconvolution", image)], (6,), dtype=torch.float64))


def image_space(
    channels: int = 3,
    height: int = 10,
    width: int = 15,
    *,
    scale: float = 1.0,
    mean: Sequence[float] = MEAN,
    order: str | None = None,
    dtype: torch.dtype = torch.float64,
    network_size: tuple[int, int] | None = None,
) -> ImageSpace:
    """Return the space of images of a net whose input is ``scale`` times grey levels without each channel's mean.

    Parameters
    ----------
    channels, height, width : int
        The images' shape.
    scale : float
        What a grey level is of the input's numbers.
    mean : sequence of float
        In grey levels, one for each channel; further ones are left out.
    order : str, optional
        The channels' order; left out, "BGR" for three channels or more and "" for fewer.
    dtype : torch.dtype
        The input's.
    network_size : tuple of int, optional
        The (H, W) that the net's file asks for.
    """
    means = torch.tensor(mean, dtype=dtype)[:channels, None, None]
    order = ("BGR" if channels >= 3 else "") if order is None else order
    low, high = -means * scale, (255 - means) * scale
    return ImageSpace((channels, height, width), low, high, scale, torch.zeros((), dtype=dtype), order, network_size)


def step_context(image: Tensor, first: int = 0) -> StepContext:
    """Return a step of a run of such images (N, C, H, W), of which ``image`` holds the samples from ``first`` on."""
    drawn = [
        [torch.from_numpy(np.random.default_rng(k + i).normal(size=image.shape[1:])) for i in range(first, first + len(image))]
        for k in (0, 9, 18)
    ]
    gradient, start, before = (torch.stack(samples).to(image) for samples in drawn)
    space = image_space(*image.shape[1:], scale=0.5)
    return StepContext(2, 8, gradient=gradient, space=space, octave=1, octaves=3, start=start, before=before)


@dataclass(frozen=True)
class Bench:
    """What the checks share.

    Parameters
    ----------
    network : Network
        The toy net, float64.
    values : mapping of str to str
        What fills the places of examples.
    """

    network: Network
    values: Mapping[str, str]

    def activations(self) -> dict[str, Tensor]:
        """Return activations of three samples at every layer, float64, the same ones at each call."""
        random = torch.Generator().manual_seed(1)
        layers = ("conv1", "tanh1", "conv2", "relu2", "pool", "fc")
        made = self.network.activations(40 * torch.randn(3, *SHAPE, dtype=torch.float64, generator=random), layers)
        # The toy's scores are hundreds apart, where every probability is 0 or 1.
        return {**made, "fc": made["fc"] / 100}

    def images(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return two images (2, 3, 5, 7) of numbers about 0, the same ones at each call."""
        return 20 * torch.randn(2, 3, 5, 7, dtype=dtype, generator=torch.Generator().manual_seed(0))


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="dreamopt-parts-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def bench() -> Bench:
    """Return the bench on which parts are checked; its files stay until the process ends."""
    network = toy_network()
    # What the prototxt says is computed in single precision, too coarse for finite differences.
    register_image_net(generator_network(), str(_folder() / "generator.prototxt"))
    return Bench(network, example_values(network, _folder(), ("conv2", "tanh1"), "fc"))


def example_values(network: Network, folder: Path, layers: tuple[str, str], classifier: str) -> dict[str, str]:
    """Return what fills the places of examples for a net; files are written into a folder.

    Parameters
    ----------
    network : Network
        With labels.
    folder : Path
        An empty one.
    layers : tuple of str
        Two layers (C, H, W).
    classifier : str
        A flat layer (K,).
    """
    random = np.random.default_rng(5)
    paths: dict[str, Path] = {}
    for number, shape in enumerate(((11, 13, 3), (30, 20, 3), (14, 22, 3)), 1):
        paths[_name("image", number)] = write_image(folder / f"image{number}.png", random.integers(0, 256, shape).astype(np.uint8))
    paths["mask"] = write_image(folder / "mask.png", random.integers(0, 256, (6, 9, 3)).astype(np.uint8))
    channels, classes = network.shape_of(layers[0])[0], network.shape_of(classifier)[0]
    values = {"layer": layers[0], "layer2": layers[1], "classifier": classifier, "label": "tabby cat"}
    if network.labels is not None and "tabby cat" not in network.labels:
        values["label"] = network.labels[1]
    numbers: dict[str, str] = {}
    for number in (1, 2, 3):
        paths[_name("tensor", number)] = folder / f"tensor{number}.npy"
        np.save(paths[_name("tensor", number)], random.normal(size=(channels, 4, 3)).round(2))
        numbers[_name("vector", number)] = literal(tuple(random.normal(size=channels).round(2).tolist()))
        numbers[_name("class_vector", number)] = literal(tuple(random.normal(size=classes).round(2).tolist()))
    paths["net"], paths["code"] = folder / "generator.prototxt", folder / "code.npy"
    paths["net"].write_text(GENERATOR, encoding="utf-8")
    np.save(paths["code"], random.normal(size=324))
    return {name: literal(str(value)) for name, value in {**values, **paths}.items()} | numbers | {"weights": "None"}


def _name(word: str, number: int) -> str:
    return word if number == 1 else f"{word}{number}"


def fill(example: str, values: Mapping[str, str]) -> str:
    """Return an example with its places filled.

    Raises
    ------
    UsageError
        For a place that there is no value for.

    Examples
    --------
    >>> fill("peak({layer}, 3)", {"layer": '"conv4"'})
    'peak("conv4", 3)'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(f"example {example} has a place {match[0]}; there are {', '.join(f'{{{name}}}' for name in values)}")
        return values[match[1]]

    return re.sub(r"\{(\w+)\}", value, example)
