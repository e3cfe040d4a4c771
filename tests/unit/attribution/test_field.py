"""Attribution of a neuron at one place: its receptive field alone is computed, and the map is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamopt import load_net
from dreamopt.attribution.score import ScoreFunction
from dreamopt.network.tiling import field
from dreamopt.objective import parse
from dreamopt.study.scores import values_of

SIZE = (96, 88)


@pytest.mark.parametrize("rule", [None, "guided", "epsilon(0.25)"])
@pytest.mark.parametrize(("text", "copies"), [("conv2:3@5,7", 2), ("conv2:3@5,7 | conv2:4@0,20", 3)])
def test_gradients_and_scores(text: str, copies: int, rule: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "_PAYS", 10.0)
    network = load_net(device="cpu")
    objective = parse(text).bind(network, SIZE)
    count = objective.batch or 1
    images = 40 * torch.randn(count * copies, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    passed: list[int] = []
    score = ScoreFunction(network, objective, SIZE, progress=passed.append)
    assert network.field(images, objective, copies, None if rule is None else network.checked_rule(rule)) is not None
    values, gradient = score.gradients(images, copies, rule=rule)
    alone = score.values(images, copies)
    assert passed == [count * copies] * 2
    monkeypatch.setattr(field.Fields, "of", lambda *args, **more: None)
    other_values, other = score.gradients(images, copies, rule=rule)
    assert values.shape == (count, copies)
    np.testing.assert_allclose(values, other_values, rtol=0, atol=1e-5 * float(other_values.abs().max()))
    np.testing.assert_allclose(alone, other_values, rtol=0, atol=1e-5 * float(other_values.abs().max()))
    assert other.any()
    np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-5 * float(other.abs().max()))


def test_a_studys_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "_PAYS", 10.0)
    network = load_net(device="cpu")
    objective = parse("2*conv2:3@5,7 - conv1:4@9,9").bind(network, SIZE)
    images = 40 * torch.randn(6, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert network.field(images[:4], objective) is not None
    values = values_of(network, objective, images)
    monkeypatch.setattr(field.Fields, "of", lambda *args, **more: None)
    whole = values_of(network, objective, images)
    assert values is not None
    assert whole is not None
    np.testing.assert_allclose(values, whole, rtol=0, atol=1e-5 * float(np.abs(whole).max()))
