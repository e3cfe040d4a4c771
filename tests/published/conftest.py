"""Nets and images that presets are run on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

import dreamopt
from tests.support.published import nets
from tests.support.published.face import Face
from tests.support.published.runs import NetAndFace


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder."""
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="session")
def classifier(folder: Path) -> NetAndFace:
    """A small classifier of one size: dreamopt's network and pycaffe's face of it."""
    files = nets.written(folder, "smooth", nets.CLASSIFIER, 0.015)
    return dreamopt.load_net(*files, device="cpu"), Face(*files)


@pytest.fixture(scope="session")
def convolutional(folder: Path) -> NetAndFace:
    """The same without its classifiers: takes any size."""
    files = nets.written(folder, "free", nets.CONVOLUTIONAL, 0.015)
    return dreamopt.load_net(*files, device="cpu"), Face(*files)


@pytest.fixture(scope="session")
def embedded() -> NetAndFace:
    """The net that dreamopt brings along."""
    folder = resources.files("dreamopt.data")
    return dreamopt.load_net(device="cpu"), Face(Path(str(folder / "tiny.prototxt")), Path(str(folder / "tiny.caffemodel")))


@pytest.fixture(scope="session")
def photo(folder: Path) -> Path:
    """A photograph, 53 by 61."""
    from skimage import data

    path = folder / "photo.png"
    Image.fromarray(data.chelsea()[60:243, 100:311]).resize((61, 53)).save(path)
    return path
