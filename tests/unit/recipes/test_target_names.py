"""Files are named after what was asked; several classes are named with commas; a dream's one number is its longer side."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import dreamopt
from dreamopt.cli.job import network_title
from dreamopt.errors import TargetError
from dreamopt.network import Network
from dreamopt.recipes import expand, plan_dream
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import target_slug


@pytest.fixture(scope="module")
def network() -> Network:
    return dreamopt.load_net(device="cpu")


def test_a_class_that_was_asked_by_name_names_its_file(network: Network) -> None:
    number = network.find_label("stars")
    samples = expand(network, ["scores:stars", f"scores:{number}", "-scores:stars", "conv2:3 - 2*scores:Stars"])
    assert [sample.slug for sample in samples] == [
        "scores-stars",
        f"scores-{number}",
        f"minus-scores-{number}",
        f"conv2-3-minus-2-scores-{number}",
    ]


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("- conv4:7", "minus-conv4-7"),
        ("-2*conv4:7", "minus-2-conv4-7"),
        ("a-b/c:7@3,5", "a-b-c-7@3,5"),
        ("(-conv4:7 + fc8:../../x)", "minus-conv4-7-+-fc8-..-..-x"),
        ("\x1b[2J", "2J"),
        ("--", "target"),
    ],
)
def test_a_target_as_a_files_name(text: str, slug: str) -> None:
    assert target_slug(text) == slug


def test_several_classes_by_name(network: Network) -> None:
    several = expand(network, "scores:stars, moons,3")
    assert [sample.objective for sample in several] == [
        sample.objective for sample in expand(network, ["scores:stars", "scores:moons", "scores:3"])
    ]
    with pytest.raises(TargetError, match="no class is called 'mooons'"):
        expand(network, "scores:stars,mooons")


def test_a_label_with_a_comma_is_one_class(network: Network) -> None:
    count = network.shape_of("scores")[0]
    labels = ["tench, Tinca tinca", "stars", *(f"class {number}" for number in range(2, count))]
    named = dreamopt.load_net(device="cpu", labels=labels)
    assert [sample.slug for sample in expand(named, "scores:tench, Tinca tinca")] == ["scores-tench,-Tinca-tinca"]
    assert [sample.text for sample in expand(named, "scores:tinca tinca,stars")] == ["scores:0", "scores:1"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, (48, 60)), (120, (96, 120)), (40, (32, 40)), ((50, 44), (50, 44))],
    ids=["own", "larger", "smaller", "both"],
)
def test_one_number_is_the_longer_side_of_a_dream(network: Network, size: int | tuple[int, int] | None, expected: tuple[int, int]) -> None:
    plan = plan_dream(network, np.zeros((48, 60, 3)), "conv2", Settings(size=size, steps=1))
    assert plan.size == expected


def test_a_sheet_has_the_nets_name_and_no_path(network: Network) -> None:
    other = SimpleNamespace(backend=SimpleNamespace(net_name=""))
    path = "/srv/nets/mine/deploy.prototxt"
    assert network_title(network, {"net": "tiny", "prototxt": None}) == "tiny"
    assert network_title(network, {"net": "squeezenet_v1.0", "prototxt": path}) == "squeezenet_v1.0"
    assert network_title(network, {"net": path, "prototxt": path}) == network.backend.net_name != ""
    assert network_title(other, {"net": path, "prototxt": path}) == "deploy"  # type: ignore[arg-type]  # all that is asked of it
