"""A batch that a callback ends, and a plan that says how many evaluations each run may make."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dreamopt
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.optimize import Progress
from dreamopt.recipes import Plan, Settings, execute_batch, plan_render, replay
from dreamopt.recipes.rendered import Rendered

SETTINGS = Settings(size=(30, 26), octaves=3, octave_scale=1.2, steps=4)


@pytest.fixture(scope="module")
def network() -> Network:
    return dreamopt.load_net(device="cpu")


def made(plan: Plan, network: Network, **options: Any) -> Rendered:
    [rendered] = execute_batch(plan, network, 0, **options)
    return rendered


@pytest.mark.parametrize(("octave", "step", "evaluations"), [(0, 2, [3, 0, 0]), (1, 0, [4, 1, 0]), (2, 1, [4, 4, 2])])
def test_a_callback_ends_the_batch_with_the_last_image(network: Network, octave: int, step: int, evaluations: list[int]) -> None:
    seen: list[tuple[int, int]] = []

    def end(progress: Progress) -> bool:
        seen.append((progress.octave, progress.step))
        return seen[-1] == (octave, step)

    rendered = made(plan_render(network, "conv2:1", SETTINGS), network, callbacks=[end])
    metadata = rendered.metadata
    assert seen[-1] == (octave, step)
    assert rendered.image.shape == (30, 26, 3)
    assert (metadata["evaluations"], metadata["evaluations_made"], metadata["steps_made"]) == (evaluations, sum(evaluations), len(seen))
    assert metadata["interrupted"] is False
    again = replay(network, metadata)
    assert np.array_equal(again.image, rendered.image)
    assert again.metadata["plan"] == metadata["plan"]
    # A plan that says so makes the same, and its octaves that make none are not begun.
    limited = made(replace(plan_render(network, "conv2:1", SETTINGS), evaluations=tuple(evaluations)), network)
    assert np.array_equal(limited.image, rendered.image)


def test_a_callback_at_the_very_end_changes_nothing(network: Network) -> None:
    plan = plan_render(network, "conv2:1", SETTINGS)
    whole, ended = made(plan, network), made(plan, network, callbacks=[lambda progress: (progress.octave, progress.step) == (2, 3)])
    assert np.array_equal(whole.image, ended.image)
    assert "evaluations" not in ended.metadata
    assert ended.metadata["evaluations_made"] == 12


def test_views_count(network: Network) -> None:
    plan = plan_render(network, "conv2:1", Settings(size=24, views=3, steps=9))
    assert made(plan, network).metadata["evaluations_made"] == 27
    assert made(replace(plan, evaluations=(8,)), network).metadata["evaluations_made"] == 6


def test_a_run_without_evaluations_hands_its_start_on(network: Network) -> None:
    plan = replace(plan_render(network, "conv2:1", SETTINGS), evaluations=(0, 4, 4))
    rendered = made(plan, network)
    assert rendered.metadata["evaluations_made"] == 8
    assert np.array_equal(replay(network, rendered.metadata).image, rendered.image)


@pytest.mark.parametrize("evaluations", [[4, 4], [0, 0, 0], [4, 4, 4, 4]])
def test_metadata_that_do_not_fit_are_refused(network: Network, evaluations: list[int]) -> None:
    metadata = {**made(plan_render(network, "conv2:1", SETTINGS), network).metadata, "evaluations": evaluations}
    with pytest.raises(UsageError, match="evaluations in the metadata must say a number for each of 3 runs, one of them above 0"):
        replay(network, metadata)


def test_the_start_is_shown_before_the_first_step(network: Network) -> None:
    order: list[str] = []
    plan = plan_render(network, ["conv2:1", "conv2:2"], Settings(size=(30, 26), steps=1))
    execute_batch(
        plan,
        network,
        0,
        begin=lambda images, dead: order.append(f"{tuple(images.shape)} {dict(dead)}"),
        callbacks=[lambda progress: order.append(f"step {progress.step}, {progress.evaluations}")],
    )
    assert order == ["(2, 3, 30, 26) {}", "step 0, 1"]
