"""The nets that are timed, with weights that exist everywhere: drawn at random from a seed, unless the net brings its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import generated
from dreamopt.engine import Net
from dreamopt.network import Network, load_net
from dreamopt.testing import registries

Array = npt.NDArray[np.float32]


class Case(NamedTuple):
    """A net, and the layer whose gradient is asked for; its definition is a file below `shared`, or is written by `generated`."""

    name: str
    prototxt: str
    layer: str
    weights: str | None = None

    @property
    def exists(self) -> bool:
        """Whether its definition is there."""
        return self.prototxt in _GENERATED or (shared() / self.prototxt).is_file()

    def definition(self) -> str:
        """Return the text of its prototxt."""
        return _GENERATED[self.prototxt]() if self.prototxt in _GENERATED else (shared() / self.prototxt).read_text()


_GENERATED: dict[str, Callable[[], str]] = {
    "vgg16": generated.vgg16,
    "densenet121": generated.densenet121,
    "mobilenet_v2": generated.mobilenet_v2,
}


CASES = (
    Case("googlenet", "nets/googlenet.prototxt", "inception_4c/output"),
    Case("caffenet", "nets/caffenet.prototxt", "conv5"),
    Case("resnet50", "nets/resnet50.prototxt", "fc1000"),
    Case("squeezenet", "models/squeezenet/deploy.prototxt", "pool_final", "models/squeezenet/squeezenet.caffemodel"),
    Case("densenet121", "densenet121", "fc6"),
    Case("vgg16", "vgg16", "conv5_3"),
    Case("mobilenet_v2", "mobilenet_v2", "fc7"),
)
BATCHES = (1, 8)


def shared() -> Path:
    """Return the folder with the reference nets: DREAMOPT_SHARED, or ``shared`` beside the repository."""
    named = os.environ.get("DREAMOPT_SHARED")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared"


def existing() -> list[Case]:
    """Return the cases whose files are there."""
    return [case for case in CASES if case.exists]


def required(name: str) -> Case:
    """Return the case of a name; a test without its files is skipped."""
    import pytest  # what calls this is a test; the other programs here need no pytest

    case = next(case for case in CASES if case.name == name)
    if not case.exists:
        pytest.skip(f"no {case.prototxt} at {shared()}: set DREAMOPT_SHARED")
    return case


def load_network(case: Case) -> Network:
    """Return the net as `load_net` makes it, with its labels; only of one that brings its own weights."""
    assert case.weights is not None, case.name
    prototxt, weights = shared() / case.prototxt, shared() / case.weights
    return load_net(prototxt, weights, labels=prototxt.parent / "labels.txt", device="cpu")


def first_examples(kind: str) -> list[str]:
    """Return the first example of each built-in part of a kind, ``"regularizers"`` for instance, with its places to fill."""
    # One of each: scipy's dense Hessians alone would take minutes.
    return [example for part in registries()[kind].built_in() for example in part.examples[:1]]


def load(case: Case, device: str = "cpu") -> Net:
    """Return the net with its weights: the real ones, or Gaussians that keep the size of the signal (He et al. 2015)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(case.definition())
        net = Net(path, device=device)
    if case.weights is not None:
        net.copy_from(shared() / case.weights)
        return net
    rng = np.random.default_rng(0)
    for name, blobs in net.params.items():
        kind, arrays = net.layer_dict[name].type, [blob.data for blob in blobs]
        if kind in ("Convolution", "InnerProduct"):
            arrays[0][...] = rng.normal(size=arrays[0].shape) * np.sqrt(2 / np.prod(arrays[0].shape[1:]))
            for bias in arrays[1:]:
                bias[...] = rng.normal(size=bias.shape) * 0.1
        elif kind == "BatchNorm":
            arrays[0][...] = rng.normal(size=arrays[0].shape) * 0.1
            arrays[1][...] = rng.uniform(0.5, 1.5, size=arrays[1].shape)
            arrays[2][...] = 1
        elif kind == "Scale":
            arrays[0][...] = rng.uniform(0.3, 0.9, size=arrays[0].shape)
    return net


def random_image(net: Net, batch: int, size: int | None = None) -> Array:
    """Return noise for the net's input, of the size that the file gives, or of a square's side."""
    shape = tuple(net.blobs[net.inputs[0]].shape)[1:]
    shape = shape if size is None else (shape[0], size, size)
    return (np.random.default_rng(1).normal(size=(batch, *shape)) * 50).astype(np.float32)


def seed_like(shape: tuple[int, ...]) -> Array:
    """Return the gradient that is put in at the layer."""
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def error(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return ``|a - b| / |b|``."""
    return float(np.linalg.norm((a - b).astype(np.float64)) / np.linalg.norm(b.astype(np.float64)))
