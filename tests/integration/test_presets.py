"""Every preset gives the picture of its publication: 20 steps against plain loops over pycaffe's face (tests/published)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dreamopt
from dreamopt.network import Network
from dreamopt.optimize.result import Progress
from dreamopt.recipes import Settings
from dreamopt.recipes.preset import preset, resolve_settings
from dreamopt.regularizer import parse_regularizer
from tests.published import canvases, climbs, generators, nets, spectra
from tests.published.canvases import Stage
from tests.published.face import MEAN, Array, Draws, Face, at_place, mean_of_channel, one_hot

TOP = "loss3/classifier"
SIZE = (23, 27)
Made = tuple[Network, Face]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def files(folder: Path) -> tuple[Path, Path]:
    return nets.written(folder, "smooth", nets.CLASSIFIER, 0.015)


@pytest.fixture(scope="module")
def made(files: tuple[Path, Path]) -> Made:
    return dreamopt.load_net(*files, device="cpu"), Face(*files)


@pytest.fixture(scope="module")
def free(folder: Path) -> Made:
    files = nets.written(folder, "free", nets.CONVOLUTIONAL, 0.015)
    return dreamopt.load_net(*files, device="cpu"), Face(*files)


@pytest.fixture(scope="module")
def photo(folder: Path) -> Path:
    from skimage import data

    path = folder / "photo.png"
    Image.fromarray(data.chelsea()[60:243, 100:311]).resize((61, 53)).save(path)
    return path


def ours(network: Network, target: str, settings: Settings) -> Array:
    """Return the last step's image, (C, H, W), before it is rounded to a picture."""
    seen: list[Progress] = []
    [one] = dreamopt.render(network, target, settings, callbacks=[lambda progress: seen.append(progress) and None])
    assert one.dead is None
    last = seen[-1]
    return np.asarray(last.images()[0].numpy(), dtype=np.float64)


def same(found: Array, published: Array, moved: float = 5.0) -> float:
    """Hold two images to 1e-4 of the published one's range, and the published one to have come somewhere."""
    assert found.shape == published.shape
    assert np.ptp(published) > moved
    far = float(np.abs(found - published).max() / np.ptp(published))
    print(f"difference {far:.1e} of a range of {np.ptp(published):.0f}")
    assert far < 1e-4
    return far


def bgr(path: Path) -> Array:
    return np.moveaxis(np.asarray(Image.open(path), dtype=np.float64)[..., ::-1], -1, 0) - MEAN


def start(noise: float, centre: float | None = None, size: tuple[int, int] = SIZE) -> Array:
    drawn = noise * Draws().start("pixels", (3, *size))
    return drawn if centre is None else drawn + centre - MEAN


def test_simonyan2014(made: Made) -> None:
    network, face = made
    found = ours(network, f"{TOP}:3", resolve_settings("simonyan2014", {"steps": 20}))
    same(found, climbs.simonyan2014(face, TOP, one_hot(3), 20, rate=100, weight=1e-4))


YOSINSKI: dict[str, dict[str, Any]] = {
    "yosinski2015-1": {"sigma": 0.5, "every": 4, "norm_percent": 50, "rate": 100, "desired": 2},
    "yosinski2015-2": {"decay": 0.3, "norm_percent": 20, "rate": 100},
    "yosinski2015-3": {"decay": 0.0001, "sigma": 1, "every": 4, "rate": 100},
    "yosinski2015-4": {"sigma": 0.5, "every": 4, "benefit_percent": 90, "rate": 1e8, "desired": 2},
}


@pytest.mark.parametrize("name", sorted(YOSINSKI))
def test_yosinski2015(made: Made, name: str) -> None:
    network, face = made
    found = ours(network, f"{TOP}:1", resolve_settings(name, {"steps": 20}))
    same(found, climbs.yosinski2015(face, TOP, one_hot(1), start(10), 21, **YOSINSKI[name]))


@pytest.mark.parametrize(("name", "iterations"), [("1", 500), ("2", 750), ("3", 1000), ("4", 1000)])
def test_yosinski2015_makes_the_published_number_of_steps(name: str, iterations: int) -> None:
    assert preset(f"yosinski2015-{name}").settings.steps == iterations - 1


def test_mahendran2015(made: Made, photo: Path) -> None:
    network, face = made
    goal = (
        np.moveaxis(np.asarray(dreamopt.image.files.covering(np.asarray(Image.open(photo)), SIZE), dtype=np.float64)[..., ::-1], -1, 0)
        - MEAN
    )
    pieces = "PerValue(Piecewise((0, 8, 15), (4.225, 0.4225, 0.04225)))"
    settings = resolve_settings("mahendran2015", {"steps": 20}, [f"optimizer.step_size={pieces}"])
    found = ours(network, f'inversion("tanh2", "{photo}")', settings)
    rates = [1e-3] * 8 + [1e-4] * 7 + [1e-5] * 5
    same(found, climbs.mahendran2015(face, "tanh2", goal, start(65), rates, sigma=65 * np.sqrt(start(65).size)))


def test_deepdream2015(free: Made, photo: Path) -> None:
    network, face = free
    found = ours(network, "conv2", resolve_settings("deepdream2015", {"steps": 5, "init": str(photo)}))
    assert found.shape == (3, 53, 61)
    same(found, canvases.deepdream2015(face, "conv2", bgr(photo), Draws(), steps=5))


GOOGLENET = [
    Stage(TOP, one_hot(2), 5, (11, 11), (2.5, 0.78)),
    Stage(TOP, one_hot(2), 5, (6, 6), (0.936, 0.78), zoom=1.2),
    Stage("loss2/classifier", one_hot(2), 5, (6, 3), (0.936, 0.44), zoom=1.2),
    Stage("loss1/classifier", one_hot(2), 5, (3, 3), (0.44, 0.304)),
]
COHERENT = [
    Stage(TOP, one_hot(2), 10, (11, 11), (2.5, 0.78)),
    Stage(TOP, one_hot(2), 10, (6, 3), (0.936, 0.40), zoom=1.2),
]


def filters(seed: Callable[[Array], Array], factor: float, last: float) -> list[Stage]:
    rows: list[tuple[tuple[float, float], tuple[float, float], float]] = [
        ((12, 10), (2.5, 1.1), 1),
        ((10, 8), (1.1, 0.858), 1),
        ((8, 6), (0.858, 0.78), 1.05),
        ((6, 1.5), (0.858, 0.40), 1.05),
        ((1.5, 0.5), (0.4, last), 1.05),
    ]
    return [Stage("conv2", seed, 4, (factor * a, factor * b), sigmas, zoom=zoom) for (a, b), sigmas, zoom in rows]


MULTIFACETED = [
    Stage(TOP, one_hot(4), 5, (1, 2), weights=(0.4, 0.4)),
    Stage(TOP, one_hot(4), 5, (1, 1), weights=(0.01, 2), zoom=1.2),
    Stage(TOP, one_hot(4), 5, (2, 2), weights=(0.1, 2), window=0.2, margin=5),
    Stage(TOP, one_hot(4), 5, (2, 2), weights=(0.4, 2)),
]
# The neuron in the middle sees a part of the window alone; steps and blurs are the whole window's all the same.
STAGED: list[tuple[str, str, float, Sequence[Stage], list[str]]] = [
    ("oygard2015", f"{TOP}:2", 200, GOOGLENET, ["steps=5"]),
    ("oygard2015-coherent", f"{TOP}:2", 200, COHERENT, ["steps=10"]),
    ("oygard2015-filters", "conv2:5@centre", 250, filters(at_place(5, 5, 6), 1, 0.3), ["steps=4"]),
    ("oygard2015-filters-vgg", "conv2:5@centre", 250, filters(at_place(5, 5, 6), 0.25, 0.1), ["steps=4"]),
]


@pytest.mark.parametrize(("name", "target", "centre", "table", "changes"), STAGED, ids=[row[0] for row in STAGED])
def test_oygard2015(made: Made, name: str, target: str, centre: float, table: Sequence[Stage], changes: list[str]) -> None:
    network, face = made
    found = ours(network, target, resolve_settings(name, {}, changes))
    assert found.shape[1] > SIZE[0]
    same(found, canvases.stages(face, start(8, centre), table, Draws()))


def test_nguyen2016_mfv(made: Made) -> None:
    network, face = made
    settings = resolve_settings("nguyen2016-mfv", {"steps": 5})
    # s (1 - 1/n) and e / n hold the number of steps, which is 5 here.
    weights = [(0.4, 0.4), (0.01, 2.0), (0.1, 2.0), (0.4, 2.0)]
    staged = []
    for stage, (s, e) in zip(settings.stages, weights, strict=True):
        first = s * (1 - 1 / 5)
        texts = ("window(range_clip())", f"window(tv_bregman(Linear({first!r}, {first + e!r})))")
        staged.append(replace(stage, regularizers=tuple(map(parse_regularizer, texts))))
    found = ours(network, f"{TOP}:4", replace(settings, stages=tuple(staged)))
    same(found, canvases.stages(face, start(8, 175), MULTIFACETED, Draws()))


def test_nguyen2016_dgn(made: Made, folder: Path) -> None:
    network, face = made
    prototxt, weights = nets.written(folder, "generator", nets.GENERATOR, 1.0)
    upper = np.random.default_rng(3).uniform(0.5, 3, 12)
    (folder / "upper.txt").write_text("\n".join(repr(float(value)) for value in upper))
    said = [f"generator.net={prototxt}", f"generator.weights={weights}", f"generator.upper={folder / 'upper.txt'}"]
    found = ours(network, f"{TOP}:2", resolve_settings("nguyen2016-dgn", {"steps": 20}, [*said, "optimizer.step_size=Linear(0.8, 1e-10)"]))
    code = Draws().start("generator", (12,))
    published = generators.nguyen2016_dgn(
        Face(prototxt, weights), "deconv0", face, TOP, one_hot(2), code, upper, steps=20, first=0.8, last=1e-10
    )
    same(found, published)


def test_lucid2017(free: Made) -> None:
    network, face = free
    found = ours(network, "conv2:1", resolve_settings("lucid2017", {"steps": 20, "size": (32, 38)}))
    same(found, spectra.lucid2017(face, "conv2", mean_of_channel(1), Draws(), (32, 38), 20))


def test_maco2023(made: Made, folder: Path) -> None:
    network, face = made
    size = (41, 47)
    f = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    strengths = np.stack([k / np.maximum(f, 1 / 47) for k in (3.0, 1.0, 0.5)])
    # A standardised plane has no mean: the gradient of frequency 0 is rounding noise, and Nadam divides by a gradient's size.
    strengths[:, 0, 0] = 0
    np.save(folder / "strengths.npy", strengths)
    settings = resolve_settings("maco2023", {"steps": 20, "size": size, "views": 3}, [f"maco.pictures={folder / 'strengths.npy'}"])
    found = ours(network, f"{TOP}:0", settings)
    same(found, spectra.maco2023(face, TOP, one_hot(0), Draws(), strengths, size, 20, 3))


@pytest.fixture(scope="module")
def embedded() -> Made:
    folder = resources.files("dreamopt.data")
    return dreamopt.load_net(device="cpu"), Face(Path(str(folder / "tiny.prototxt")), Path(str(folder / "tiny.caffemodel")))


def test_yosinski2015_of_the_embedded_net(embedded: Made) -> None:
    """With ReLUs and max-pooling, whose kinks a rounding error can fall on either side of: far from flat images, few come so near."""
    network, face = embedded
    noise = start(10, size=(96, 96))
    published = climbs.yosinski2015(face, "scores", one_hot(7), noise, 21, **YOSINSKI["yosinski2015-3"])
    same(ours(network, "scores:7", resolve_settings("yosinski2015-3", {"steps": 20})), published)


def test_deepdream2015_of_the_embedded_net(embedded: Made, photo: Path) -> None:
    network, face = embedded
    found = ours(network, "mixed3", resolve_settings("deepdream2015", {"steps": 5, "init": str(photo)}))
    same(found, canvases.deepdream2015(face, "mixed3", bgr(photo), Draws(), steps=5))
