"""What a dream aims at, against real Caffe: gradients by the published formulas over its blobs, and the same dreams by its backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import dreamopt
from dreamopt.network import Network, load_net
from dreamopt.network.choice import choose_layer
from dreamopt.objective import Objective, parse
from dreamopt.objectives import Guide, Ranked
from dreamopt.problem import Problem
from tests.oracle.conftest import caffe_root
from tests.support.oracle import public_nets
from tests.support.oracle.harness import Oracle

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")]  # random weights, on purpose

LAYER, SIZE = "fire5/concat", (97, 83)
PHOTO = np.random.default_rng(1).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
GUIDE = np.random.default_rng(2).integers(0, 256, (61, 75, 3)).astype(np.uint8)
EPS = np.finfo(np.float32).eps


def notebook_columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the diff of DeepDream's guided objective: for each column of x that of y with the largest dot product."""
    columns, guides = x[0].reshape(len(x[0]), -1), y[0].reshape(len(y[0]), -1)
    return guides[:, (columns.T @ guides).argmax(1)].reshape(x.shape)


def crowson_channels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the diff of deep_dream's guide: w a over its length, with the guide's sums of channels over their 1-norm."""
    v = y[0].sum((1, 2))
    weighted = (v / np.abs(v).sum())[None, :, None, None] * x
    return weighted / (np.linalg.norm(weighted) + EPS)


def strongest(x: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Return the activations of the nine channels of the highest means, and zeros."""
    means = x[0].mean((1, 2))
    return x * (means >= np.sort(means)[-9])[None, :, None, None]


@pytest.mark.parametrize(
    ("objective", "diff"),
    [
        (Guide(LAYER, GUIDE, longest=640), notebook_columns),
        (Guide(LAYER, GUIDE, "channels", longest=640), crowson_channels),
        (Ranked(LAYER, 9, image=PHOTO), strongest),
        (Ranked(LAYER, 9, capture="step"), strongest),
        (parse(f'energy("{LAYER}", "norm")'), lambda x, _: x / (np.linalg.norm(x) + EPS)),
    ],
    ids=["columns", "channels", "ranked", "ranked at the step", "normalised"],
)
def test_gradients_over_squeezenet(
    oracle: Oracle, shared: Path, objective: Objective, diff: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    folder = shared / "models/squeezenet"
    prototxt, weights = folder / "deploy.prototxt", folder / "squeezenet.caffemodel"
    network = load_net(prototxt, weights, device="cpu")
    problem = Problem(network, objective, size=SIZE)
    x, guide = (network.from_rgb(image)[None] for image in (PHOTO, GUIDE))

    def run(image: np.ndarray, seed: np.ndarray | None = None):  # the oracle's
        seeds = None if seed is None else {LAYER: seed}
        keep = ["data", LAYER]
        return oracle.run(
            prototxt.read_text(),
            weights=weights.read_bytes(),
            inputs={"data": image},
            seeds=seeds,
            end=LAYER,
            keep=keep,
            want_weights=False,
        )

    seed = diff(run(x.numpy()).blobs[LAYER], run(guide.numpy()).blobs[LAYER]).astype(np.float32)
    theirs = run(x.numpy(), seed).diffs["data"]
    mine = problem.evaluate(x).gradient.numpy()
    assert np.linalg.norm(theirs) > 0
    assert np.linalg.norm(mine - theirs) <= 1e-4 * np.linalg.norm(theirs)


def five_channels() -> str:
    """Return a net of V1 whose input has five channels."""
    lines = ['name: "five"', 'input: "data"', *(f"input_dim: {d}" for d in (1, 5, 33, 29))]
    for name, bottom, outputs in (("c1", "data", 6), ("c2", "c1", 8), ("c3", "c2", 7)):
        filler = 'weight_filler { type: "xavier" }'
        param = f"convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 {filler} }}"
        lines.append(f'layers {{ name: "{name}" type: CONVOLUTION bottom: "{bottom}" top: "{name}" {param} }}')
        lines.append(f'layers {{ name: "{name}_relu" type: RELU bottom: "{name}" top: "{name}" }}')
    return "\n".join(lines)


NETS = {"V0": public_nets.v0, "V1 of five channels": five_channels, "V2": public_nets.mobilenet_v2}


@pytest.fixture(scope="module", params=NETS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, Network]]:
    """A net by the engine, and by real Caffe."""
    path = tmp_path_factory.mktemp("net") / "net.prototxt"
    path.write_text(NETS[request.param]())
    engine, numbers = load_net(path, device="cpu"), np.random.default_rng(2)
    for node in engine.backend.net.nodes:  # type: ignore[attr-defined]  # the engine's
        for i, blob in enumerate(node.weights):
            drawn = numbers.normal(size=blob.shape)
            plain = drawn * (np.sqrt(2 / blob.data[0].size) if i == 0 else 0.1)
            blob.data[...] = np.abs(drawn) + 0.5 if node.layer.type in ("BatchNorm", "Scale") else plain
    engine.backend.net.save(path.with_suffix(".caffemodel"))  # type: ignore[attr-defined]  # the engine's
    options = {"backend": "remote", "python": f"chroot {caffe_root()} python3", "timeout": 60}
    remote = load_net(path, path.with_suffix(".caffemodel"), **options)
    yield load_net(path, path.with_suffix(".caffemodel"), device="cpu"), remote
    remote.backend.close()


@pytest.mark.parametrize(
    "aim",
    [{}, {"rank": 2}, {"rank": "50%", "rank_mode": "ignore", "rank_capture": "octave"}, {"guide": GUIDE}, {"guide_mode": "style"}],
    ids=str,
)
def test_dreams_by_real_caffe_are_the_engines(both: tuple[Network, Network], aim: dict[str, object]) -> None:
    """Of no layer named, on V0, V1 and V2, with other than three channels, too; to rounding, of few steps."""
    engine, remote = both
    photo = np.random.default_rng(7).integers(0, 256, (43, 51, 3)).astype(np.uint8)
    aim = aim | ({"guide": GUIDE} if "guide_mode" in aim else {})
    assert choose_layer(engine, (43, 51)) == choose_layer(remote, (43, 51))
    mine, theirs = (dreamopt.dream(net, photo, octaves=2, steps=2, jitter=5, **aim) for net in both)  # type: ignore[arg-type]  # settings
    assert mine.metadata["target"] == theirs.metadata["target"]
    assert mine.value == pytest.approx(theirs.value, rel=1e-4)
    assert np.abs(mine.image.astype(int) - theirs.image).max() <= 1
    assert np.abs(mine.image[:, :, :3].astype(int) - theirs.image[:, :, :3]).mean() < 0.05


def test_exploring_by_real_caffe_is_the_engines(both: tuple[Network, Network], tmp_path: Path) -> None:
    photo = np.random.default_rng(8).integers(0, 256, (31, 37, 3)).astype(np.uint8)
    quick = {"octaves": 1, "steps": 1, "jitter": 3, "size": both[0].input_shape[1:]}
    mine, theirs = (dreamopt.explore(net, photo, out=tmp_path / f"{net.backend.name}.png", **quick) for net in both)  # type: ignore[arg-type]
    assert [one.sample.text for one in mine] == [one.sample.text for one in theirs]
    assert len(mine) >= 3
    for one, other in zip(mine, theirs, strict=True):
        if one.dead is None:
            assert np.abs(one.image.astype(int) - other.image).mean() < 0.05
    assert sum(one.dead is None for one in mine) > len(mine) / 2
    assert (tmp_path / "remote.png").is_file()
