"""Objectives whose gradient follows a published rule, a batch of different ones, images in memory, and Lucid's centre."""

import numpy as np
import pytest
import torch

from dreamopt.objective import Objective, each, frozen_image
from dreamopt.objectives import Caricature, Channel, ClassScore, Energy, Guide, Inversion, LogProbability, Neuron, Style
from tests.support.toy import toy_network

RANDOM = np.random.default_rng(5)
PICTURES = tuple(frozen_image(RANDOM.integers(0, 256, shape)) for shape in ((11, 13, 3), (30, 20, 3), (14, 22, 3)))
V4 = tuple(RANDOM.normal(size=4).round(2).tolist())
NETWORK = toy_network()
LAYERS = ["conv1", "tanh1", "conv2", "relu2", "pool", "fc"]
BY_RULE = [
    LogProbability("fc", 5, own_logit_only=True),
    LogProbability("fc", (5, 1, 0), own_logit_only=True),
    LogProbability("tanh1", 3, own_logit_only=True),
    LogProbability("tanh1", (3, 1, 2), own_logit_only=True),
    Energy("tanh1", "norm", V4),
    Guide("conv2", PICTURES[0], "channels"),
    Guide("conv2", PICTURES, "channels"),
]


def _own_part(a: np.ndarray, unit: int) -> np.ndarray:
    p = np.exp(a - a.max(0)) / np.exp(a - a.max(0)).sum(0)
    own = np.zeros_like(a)
    own[unit] = (1 - p[unit]) / a[0].size
    return own


def _over_length(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    wa = np.moveaxis(np.moveaxis(a, 0, -1) * w, -1, 0)
    return wa / (np.sqrt((wa**2).sum()) + np.finfo(np.float32).eps)


def _guided_weights(o: Guide) -> np.ndarray:
    (seen,) = NETWORK.activations_of(o.image, o.layers).values()
    v = seen[0].numpy().reshape(seen.shape[1], -1).sum(1)
    return v / np.abs(v).sum()


def _rule(objective: Objective, a: np.ndarray, index: int) -> np.ndarray | None:
    """Return what arrives at the layer of item ``index`` by a published rule that is no number's gradient, written once more."""
    one = objective.item(index)
    if isinstance(one, LogProbability) and one.own_logit_only:
        return _own_part(a, one.unit)  # type: ignore[arg-type]
    if isinstance(one, Energy) and one.reduce == "norm" and one.weights is not None:
        return _over_length(a, np.array(one.weights))
    if isinstance(one, Guide) and one.match == "channels":
        return _over_length(a, _guided_weights(one))
    return None


@pytest.fixture
def activations() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    found = NETWORK.activations(40 * torch.randn(3, 3, 11, 13, dtype=torch.float64), LAYERS)
    # The toy's scores are hundreds apart, where every probability is 0 or 1.
    return {**found, "fc": found["fc"] / 100}


@pytest.mark.parametrize("objective", [pytest.param(o, id=f"{o}"[:90]) for o in BY_RULE])
def test_the_gradient_follows_the_published_rule(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    assert bound.gradient == "rule"
    (layer,) = bound.layers
    leaf = activations[layer].detach().requires_grad_()
    expected = [_rule(bound, a.numpy(), i) for i, a in enumerate(activations[layer])]
    (got,) = torch.autograd.grad(bound({layer: leaf}).sum(), leaf)
    np.testing.assert_allclose(got.numpy(), np.stack(expected), rtol=1e-11, atol=1e-15)  # type: ignore[arg-type]  # each has a rule


def test_others_are_derivatives() -> None:
    for objective in (LogProbability("fc", 5), Energy("tanh1", "norm"), Energy("tanh1", "mean", V4), Guide("conv2", PICTURES[0])):
        assert objective.gradient == "derivative"


@pytest.mark.parametrize("make", [Inversion, Caricature, Style, Guide])
def test_images_in_memory_for_each_sample(make: type[Inversion], activations: dict[str, torch.Tensor]) -> None:
    for layers in ("conv2", ("tanh1", "fc")):
        one, many = make(layers, PICTURES[0]).bind(NETWORK), make(layers, PICTURES).bind(NETWORK)
        assert (one.batch, many.batch) == (None, 3)
        assert many.item(0) == one
        for i in range(3):
            alone = {name: a[i : i + 1] for name, a in activations.items()}
            torch.testing.assert_close(many(activations)[i : i + 1], many.item(i)(alone), rtol=1e-14, atol=0)
        assert not torch.equal(one(activations)[1:], many(activations)[1:])
        names = list(one.layers)
        assert torch.autograd.gradcheck(
            lambda *a, names=names, many=many: many(dict(zip(names, a, strict=True))),
            [activations[name].detach().requires_grad_() for name in names],
        )


def test_a_row_for_each_sample_and_one_column_are_places_for_each() -> None:
    assert Neuron("tanh1", 1, (2, 8, 0), 7) == Neuron("tanh1", 1, (2, 8, 0), (7, 7, 7))
    assert str(Neuron("tanh1", 1, 2, (7, 8))) == "tanh1:1@2,7;2,8"


def test_each_item_its_own(activations: dict[str, torch.Tensor]) -> None:
    batch = each([Channel("conv2", 3), -Neuron("tanh1", 1), 2 * ClassScore("fc", "tabby cat") + Channel("pool", 0)]).bind(NETWORK)
    assert str(batch) == "conv2:3 | -tanh1:1@4,5 | 2*fc:1 + pool:0"
    assert set(batch.layers) == {"conv2", "tanh1", "fc", "pool"}
    values = batch(activations)
    torch.testing.assert_close(values[1], -activations["tanh1"][1, 1, 4, 5])
    torch.testing.assert_close(values[2], 2 * activations["fc"][2, 1] + activations["pool"][2, 0].mean())


def test_the_centre_is_lucids() -> None:
    # Lower right of the middle four, where there is no middle.
    assert str(Neuron("pool", 0).bind(NETWORK)) == "pool:0@1,2"
    assert str(Neuron("conv2", 0).bind(NETWORK, (12, 14))) == "conv2:0@4,5"
