"""A dream against a loop over real Caffe that knows nothing of dreamopt: DeepDream's octaves, detail, roll, step and clip, our shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.transform

import dreamopt
from dreamopt.engine import Net
from dreamopt.network import Network
from dreamopt.optimize.result import Progress
from dreamopt.schema import read_net
from tests.oracle.test_nets import random_weights
from tests.support.oracle.compare import note
from tests.support.oracle.harness import Array, Oracle
from tests.support.published import nets
from tests.support.published.face import Draws

pytestmark = pytest.mark.oracle

LOOP = """
import scipy.ndimage as nd
with open("net.prototxt") as f:
    text = f.read()
with open("net.prototxt", "w") as f:
    f.write("force_backward: true\\n" + text)
net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
mean = np.float32(arguments["mean"]).reshape(3, 1, 1)
scale, step_size, layers, norm = arguments["octave_scale"], arguments["step_size"], arguments["layers"], arguments["norm"]
source = net.blobs[net.inputs[0]]

def gradient(layer, weight):
    for blob in net.blobs.values():
        blob.diff[...] = 0
    a = net.blobs[layer].data
    size = np.linalg.norm(a) + np.finfo(np.float32).eps if norm else 1
    net.blobs[layer].diff[...] = weight * a / size
    net.backward(start=layer)
    return source.diff[0].copy()

octaves = [np.float32(np.rollaxis(inputs["photo"], 2)[::-1]) - mean]
for i in range(arguments["octaves"] - 1):
    octaves.append(nd.zoom(octaves[-1], (1, 1.0 / scale, 1.0 / scale), order=1))
detail = np.zeros_like(octaves[-1])
for octave, base in enumerate(octaves[::-1]):
    h, w = base.shape[-2:]
    if octave > 0:
        h1, w1 = detail.shape[-2:]
        detail = nd.zoom(detail, (1, 1.0 * h / h1, 1.0 * w / w1), order=1)
    source.reshape(1, 3, h, w)
    source.data[0] = base + detail
    for i in range(arguments["steps"]):
        oy, ox = [int(n) for n in inputs["shifts"][octave, i]]
        source.data[0] = np.roll(np.roll(source.data[0], ox, -1), oy, -2)
        net.forward(end=arguments["top"])
        g = sum(gradient(layer, weight) for layer, weight in layers)
        source.data[0] += step_size / np.abs(g).mean() * g
        source.data[0] = np.roll(np.roll(source.data[0], -ox, -1), -oy, -2)
        source.data[0] = np.clip(source.data[0], -mean, 255 - mean)
        own = "%d/%d" % (octave, i)
        if own in inputs:
            result[own] = source.data[0].copy()
            source.data[0] = inputs[own]
    detail = source.data[0] - base
result["image"] = source.data[0].copy()
"""
PUBLISHED = {"octaves": 4, "octave_scale": 1.4, "steps": 10, "step_size": 1.5, "jitter": 32}
"""DeepDream's numbers: the defaults of its notebook."""


def photo(height: int, width: int) -> Array:
    cat = skimage.transform.resize(skimage.data.chelsea(), (height, width), anti_aliasing=True)
    return np.round(cat * 255).astype(np.uint8)


def shifts(octaves: int, steps: int, jitter: int) -> Array:
    """The jitter's draws, (octaves, steps, 2): down, right."""
    draws = Draws()
    drawn = [
        [draws.generator("jitter", i, octave=k).integers(-jitter, jitter, size=2, endpoint=True) for i in range(steps)]
        for k in range(octaves)
    ]
    return np.array(drawn)


def by_caffe(
    oracle: Oracle,
    prototxt: Path,
    weights: Path,
    image: Array,
    layers: Sequence[tuple[str, float]],
    top: str,
    mean: Sequence[float],
    norm: bool = False,
    from_each: Mapping[str, Array] | None = None,
    **numbers: Any,
) -> dict[str, Array]:
    """Return the dream as ``image``; given somebody's image after each step, "OCTAVE/STEP", its own after each such step, from there."""
    files = {"net.prototxt": prototxt.read_bytes(), "net.caffemodel": weights.read_bytes()}
    arrays = {"photo": image, "shifts": shifts(numbers["octaves"], numbers["steps"], numbers["jitter"])}
    arguments = {"layers": list(layers), "top": top, "mean": list(mean), "norm": norm} | numbers
    made = oracle.script(LOOP, files, arrays | dict(from_each or {}), arguments)
    return {name: image.astype(np.float64) for name, image in made.items()}


def by_dreamopt(network: Network, image: Array, target: Any, numbers: Mapping[str, Any], **changes: Any) -> dict[str, Array]:
    """Return the image after each step, "OCTAVE/STEP", in the net's input space, (C, H, W), and as ``image`` the last."""
    images: dict[str, Array] = {}

    def keep(progress: Progress) -> None:
        octave, step = divmod(len(images), numbers["steps"])
        assert step == progress.step
        images[f"{octave}/{step}"] = progress.images()[0].numpy().copy()

    # The published settings are the defaults: only what differs from them is said.
    own = {"octaves": "octaves", "octave_scale": "octave_scale", "steps": "steps", "step_size": "lr", "jitter": "jitter"}
    said = {own[name]: value for name, value in numbers.items() if value != PUBLISHED[name]}
    dreamopt.dream(network, image, target, callbacks=[keep], **said, **changes)
    assert len(images) == numbers["octaves"] * numbers["steps"]
    return images | {"image": next(reversed(images.values()))}


def require_equal(what: str, ours: Mapping[str, Array], theirs: Mapping[str, Array], image: Array, tolerance: float) -> None:
    """Hold two dreams, and all steps that both have, to a part of a grey level in the mean; they have changed the image by much more."""
    assert ours["image"].shape == (3, *image.shape[:2])
    changed = np.abs(ours["image"] - ours["image"].mean() - (image[..., ::-1].transpose(2, 0, 1) - image.mean())).mean()
    assert changed > 3, changed
    both = [name for name in ours if name in theirs and (name == "image") == (len(theirs) == 1)]
    errors = {name: float(np.abs(ours[name] - theirs[name]).mean()) for name in both}
    assert note(what, max(errors.values())) < tolerance, errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dreams")


@pytest.mark.parametrize("size", [(97, 121), (64, 151)])
def test_the_published_settings_on_a_small_net(oracle: Oracle, folder: Path, size: tuple[int, int]) -> None:
    files = nets.written(folder, "free", nets.CONVOLUTIONAL, 0.015)
    network, image = dreamopt.load_net(*files, device="cpu", mean=(104, 116, 122)), photo(*size)
    theirs = by_caffe(oracle, *files, image, [("conv2", 1.0)], "conv2", (104, 116, 122), **PUBLISHED)
    require_equal("dreams, small net, grey levels", by_dreamopt(network, image, "conv2", PUBLISHED), theirs, image, 1e-3)


def googlenet(folder: Path, shared: Path) -> tuple[Path, Path]:
    """GoogLeNet's geometry with random weights."""
    prototxt, weights = shared / "nets" / "googlenet.prototxt", folder / "googlenet.caffemodel"
    net = Net(read_net(prototxt))
    for name, blobs in random_weights(net, 3).items():
        for blob, values in zip(net.params[name], blobs, strict=True):
            blob.data[...] = values
    net.save(weights)
    return prototxt, weights


def files_of(name: str, shared: Path, folder: Path) -> tuple[Path, Path]:
    if name == "squeezenet":
        return shared / "models/squeezenet/deploy.prototxt", shared / "models/squeezenet/squeezenet.caffemodel"
    return googlenet(folder, shared) if name == "googlenet" else tiny()


KINKS = [
    ("tiny", "mixed3", (131, 173), PUBLISHED),
    ("squeezenet", "fire5/concat", (157, 203), PUBLISHED | {"octaves": 3, "steps": 5}),
    ("squeezenet", "fire8/concat", (119, 99), PUBLISHED | {"octaves": 2, "octave_scale": 1.7, "steps": 4, "jitter": 9, "step_size": 2.5}),
    ("googlenet", "inception_4c/output", (171, 223), PUBLISHED | {"steps": 3}),
]


@pytest.mark.parametrize(("name", "layer", "size", "numbers"), KINKS)
def test_each_step_and_octave_of_nets_with_kinks(
    oracle: Oracle, shared: Path, folder: Path, name: str, layer: str, size: tuple[int, int], numbers: Mapping[str, Any]
) -> None:
    """Caffe makes each step from our image before it, and begins each octave with our detail of the one before.

    Left alone, float32 itself ends elsewhere: where a rounding decides which of two values is larger, the steps to come differ by more,
    tenfold in a few steps. So every step is held to rounding, which demands more of it. Where such a decision falls within a step (a ReLU or
    a maximum at a tie), that step differs by more: most steps are held to 1e-4, and each to 0.02. Winograd's convolutions, which round
    ten times as coarsely as direct ones, decide otherwise in about one step of ten.
    """
    files, image = files_of(name, shared, folder), photo(*size)
    network = dreamopt.load_net(*files, device="cpu")
    ours = by_dreamopt(network, image, layer, numbers)
    theirs = by_caffe(oracle, *files, image, [(layer, 1.0)], layer, network.describe()["mean"], from_each=ours, **numbers)
    assert len(theirs) == len(ours)
    require_equal(f"dreams step by step, {name} {layer}, grey levels", ours, theirs, image, 0.02)
    errors = [float(np.abs(ours[step] - theirs[step]).mean()) for step in ours]
    assert np.median(errors) < 1e-4, errors


def test_a_short_dream_of_a_net_with_kinks(oracle: Oracle, folder: Path) -> None:
    """The embedded net's; SqueezeNet's end 0.1 grey levels apart after two steps, by torch's operators too: it is held step by step."""
    files, image, numbers = tiny(), photo(67, 85), PUBLISHED | {"octaves": 2, "steps": 4}
    network = dreamopt.load_net(*files, device="cpu")
    theirs = by_caffe(oracle, *files, image, [("mixed3", 1.0)], "mixed3", network.describe()["mean"], **numbers)
    require_equal("dreams, tiny mixed3, grey levels", by_dreamopt(network, image, "mixed3", numbers), theirs, image, 0.02)


def tiny() -> tuple[Path, Path]:
    """The embedded net's files."""
    from importlib import resources

    data = resources.files("dreamopt.data")
    return Path(str(data / "tiny.prototxt")), Path(str(data / "tiny.caffemodel"))


@pytest.mark.parametrize("norm", [False, True], ids=["sum", "each over its length"])
def test_several_layers_with_weights_in_one_pass(oracle: Oracle, folder: Path, norm: bool) -> None:
    """Crowson's form, each layer's gradient over its length, is the energy's ``norm``."""
    files = nets.written(folder, "several", nets.CONVOLUTIONAL, 0.015)
    network, image, numbers = dreamopt.load_net(*files, device="cpu"), photo(83, 61), PUBLISHED | {"octaves": 3, "steps": 4}
    layers = [("norm1", 2.0), ("tanh2", -0.5), ("conv2", 1.0)]
    targets = [f'{weight:g}*energy("{layer}", "norm")' if norm else f"{weight:g}*{layer}" for layer, weight in layers]
    theirs = by_caffe(oracle, *files, image, layers, "tanh2", network.describe()["mean"], norm, **numbers)
    ours = by_dreamopt(network, image, targets, numbers)
    require_equal(f"dreams, several layers, norm {norm}, grey levels", ours, theirs, image, 1e-3)


def test_the_remote_backend_dreams_what_the_engine_does(oracle: Oracle, folder: Path) -> None:
    from tests.oracle.conftest import caffe_root

    image, numbers = photo(67, 85), PUBLISHED | {"octaves": 2, "steps": 4}
    engine = by_dreamopt(dreamopt.load_net(device="cpu"), image, "mixed3", numbers)
    remote = dreamopt.load_net(backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    by_remote = by_dreamopt(remote, image, "mixed3", numbers)
    remote.backend.close()  # type: ignore[attr-defined]  # a Caffe backend's
    require_equal("dreams, remote backend, grey levels", by_remote, engine, image, 0.02)
