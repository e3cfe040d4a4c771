"""Units: named or drawn, those to tune on beside them, and what is refused."""

import re
from collections import Counter
from typing import Any

import pytest

import dreamopt
from dreamopt.errors import DreamoptError
from dreamopt.network import Network
from dreamopt.study.words.said import SaidNet
from dreamopt.study.words.units import units_of


@pytest.fixture(scope="module")
def network() -> Network:
    return dreamopt.load_net(device="cpu")


def units(network: Network, *targets: str, seed: int = 0, tuned: bool = True, **more: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return units_of(network, SaidNet(targets=targets, **more), (64, 64), seed, tuned)


def test_targets_and_others_of_their_layers(network: Network) -> None:
    scored, tuning = units(network, "conv2:0-8", "scores:1")
    assert scored == (*(f"conv2:{k}" for k in range(9)), "scores:1")
    assert Counter(unit.partition(":")[0] for unit in tuning) == {"conv2": 4, "scores": 1}
    assert set(scored).isdisjoint(tuning)
    assert len(set(tuning)) == 5
    assert units(network, "conv2:0-8", "scores:1") == (scored, tuning)
    assert units(network, "conv2:0-8", "scores:1", seed=1)[1] != tuning
    assert units(network, "conv2:0-1", tuned=False) == (("conv2:0", "conv2:1"), ())


def test_neurons_keep_their_place(network: Network) -> None:
    scored, tuning = units(network, "conv2:1@centre", "conv2:2@3,4")
    assert scored == ("conv2:1@centre", "conv2:2@3,4")
    assert Counter(unit.partition("@")[2] for unit in tuning) == {"centre": 2, "3,4": 2}


def test_drawn_units_are_even_over_layers(network: Network) -> None:
    scored, tuning = units(network, sample=12)
    assert Counter(unit.partition(":")[0] for unit in scored) == dict.fromkeys(
        ("conv1/relu", "conv2/relu", "mixed3", "mixed4", "mixed5", "scores"), 2
    )
    assert len(tuning) == 6
    assert set(scored).isdisjoint(tuning)
    assert units(network, sample=12) == (scored, tuning)
    assert units(network, sample=12, seed=7)[0] != scored
    few, _ = units(network, sample=3, layers=("conv*", "mixed5"))
    assert [unit.partition(":")[0] for unit in few] == ["conv1/relu", "conv2/relu", "mixed5"]


@pytest.mark.parametrize(
    ("targets", "more", "message"),
    [
        ((), {}, "say on which units contestants are compared: -t conv4:0-7, or --sample 12"),
        (("conv2:1",), {"sample": 3}, "give targets, or how many are drawn by --sample, not both"),
        (("conv2:1",), {"layers": ("conv*",)}, "--layers says of which layers --sample draws"),
        ((), {"sample": 3, "layers": ("mxed4",)}, "no layer of the net is called 'mxed4' (did you mean mixed4"),
        ((), {"sample": 100, "layers": ("scores",)}, "there are 32 units in scores, fewer than the 100 of --sample"),
        (("conv2:0-3", "conv2:2"), {}, "the unit conv2:2 stands twice among the targets"),
        (("conv2:0",), {"tune_on": ("conv2:0@3,3", "conv2:5")}, "contestants are tuned on conv2:0@3,3, and scored on it, too"),
        (("scores:*",), {}, "only 0 other units are left in scores to tune on, and at least 4 are needed"),
        (("conv2:0 + conv1:1",), {}, "no other units are like conv2:0 + conv1:1"),
        (('diversity("conv2")',), {}, 'Diversity("conv2") compares images with each other, and a study\'s units are of one image each'),
        (("conv2:64",), {}, "layer 'conv2' has no channel 64"),
    ],
)
def test_what_does_not_fit(network: Network, targets: tuple[str, ...], more: dict[str, Any], message: str) -> None:
    with pytest.raises(DreamoptError, match=re.escape(message)):
        units(network, *targets, **more)


def test_named_tuning_units(network: Network) -> None:
    assert units(network, "conv2:0 + conv1:1", tune_on=("conv2:4-5", "conv1:1"))[1] == ("conv2:4", "conv2:5", "conv1:1")
