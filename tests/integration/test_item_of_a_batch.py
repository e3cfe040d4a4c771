"""Under every preset, item i of a batch is what item i is alone: its start, its random draws, its steps, its value."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import dreamopt
from dreamopt.recipes.plan import plan_render
from dreamopt.recipes.preset import preset, presets, resolve_settings
from dreamopt.recipes.render import run_plan
from dreamopt.testing.bench import example_values, fill


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture(scope="module")
def values(network: dreamopt.Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return example_values(network, tmp_path_factory.mktemp("values"), ("conv2", "mixed3"), "scores")


@pytest.mark.parametrize("name", [one.name for one in presets()])
def test_item_of_a_batch_is_item_alone(name: str, network: dreamopt.Network, values: dict[str, str]) -> None:
    check = preset(name).check
    assignments = [fill(assignment, values) for assignment in check.get("set", ())]
    together, alone = (
        plan_render(
            network,
            ["conv2:1", "conv2:2", "conv2:5"],
            resolve_settings(name, {"size": 72, **check.get("fields", {}), "steps": 2, "batch_size": size}, assignments),
        )
        for size in (3, 1)
    )
    assert (together.batches, alone.batches) == (((0, 1, 2),), ((0,), (1,), (2,)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dreamopt.errors.DreamoptWarning)  # of what dead ReLUs do under some presets
        pairs = list(zip(run_plan(together, network), run_plan(alone, network), strict=True))
    for one, other in pairs:
        # Bytes are equal today; a convolution may add up in another order in a batch.
        assert np.abs(one.image.astype(float) - other.image).max() <= 1
        assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-7)
    assert not np.array_equal(pairs[0][0].image, pairs[1][0].image)
