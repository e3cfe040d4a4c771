"""What workers send is looked at before it is written."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dreamopt.atlas.schedulers.checked import checked, is_safe
from dreamopt.atlas.slug import slug
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.errors import BackendError

TASK = Task("image", "conv1", (3, 5), {"size": 9}, ("a", "b"))
SOUND = Outcome(TASK, {3: Record({"value": 0.5, "kernel": [[1, None]]}, {"images/conv1/3.png": b"PNG"})}, {5: "a dead ReLU"})


def test_what_is_sound_passes_with_the_task_that_was_asked_for() -> None:
    other = replace(TASK, settings={"size": 10}, keys=("x", "y"))
    assert checked(replace(SOUND, task=other), TASK) == SOUND
    two = replace(TASK, layer="conv2", keys=("c", "d"))
    found = checked(replace(SOUND, others=(SOUND,)), replace(TASK, others=(two,)))
    assert [one.task for one in found.all()] == [replace(TASK, others=(two,)), two]
    assert [one.records for one in found.all()] == [SOUND.records] * 2


@pytest.mark.parametrize("layer", ["conv1", "inception_4c/output", "../..", ".hidden", "a--b", "ä b", "-", "a\\b", "con:x"])
def test_every_layer_has_a_name_that_is_safe(layer: str) -> None:
    assert is_safe(f"images/{slug(layer)}/17-minus.png")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../3.png",
        "images/../../3.png",
        "images//3.png",
        "images\\3.png",
        "c:3.png",
        "images/.3.png",
        "a\n",
        "a\0",
        "x" * 300,
        7,
    ],
)
def test_other_names_are_refused(name: object) -> None:
    assert not is_safe(name)
    with pytest.raises(BackendError, match="no file of an atlas"):
        checked(Outcome(TASK, {3: Record({}, {name: b""}), 5: Record({})}), TASK)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (None, "which is no outcome"),
        (Outcome(TASK, {3: Record({})}), "a worker sent units"),
        (Outcome(TASK, {3: Record({}), 5: Record({}), 7: Record({})}), "a worker sent units"),
        (Outcome(TASK, {3: Record({"value": math.inf}), 5: Record({})}), "JSON does not have"),
        (Outcome(TASK, {3: Record({"value": {1: 2}}), 5: Record({})}), "JSON does not have"),
        (Outcome(TASK, {3: Record({"value": b""}), 5: Record({})}), "JSON does not have"),
        (Outcome(TASK, {3: {}, 5: {}}), "JSON does not have"),  # type: ignore[dict-item]
        (Outcome(TASK, {3: Record({}, {"3.png": "text"}), 5: Record({})}), "no file of an atlas"),  # type: ignore[dict-item]
        (Outcome(TASK, failed={3: "", 5: None}), "sent no reason"),  # type: ignore[dict-item]
        (replace(SOUND, others=(SOUND,)), "other layers than those"),
    ],
)
def test_what_is_not_is_refused(outcome: object, sentence: str) -> None:
    with pytest.raises(BackendError, match=sentence):
        checked(outcome, TASK)


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ((), "other layers than those"),
        ((SOUND, SOUND), "other layers than those"),
        ((None,), "other layers than those"),
        ((Outcome(TASK, {3: Record({})}),), "a worker sent units"),
        ((replace(SOUND, records={3: Record({}, {"../x": b""})}),), "no file of an atlas"),
    ],
)
def test_what_is_not_of_the_layers_beside_is_refused(others: tuple[Outcome, ...], sentence: str) -> None:
    with pytest.raises(BackendError, match=sentence):
        checked(replace(SOUND, others=others), replace(TASK, others=(replace(TASK, layer="conv2"),)))
