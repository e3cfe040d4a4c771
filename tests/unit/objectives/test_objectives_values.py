"""The values of objectives against their formulas, written once more in plain numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from dreamopt.objective import Objective, frozen_image
from dreamopt.objectives import (
    Alignment,
    Caricature,
    Direction,
    DirectionNeuron,
    Diversity,
    Energy,
    Guide,
    Interpolate,
    Inversion,
    LogProbability,
    Neuron,
    Places,
    Style,
    TensorDirection,
)
from tests.support.names import name_of
from tests.support.toy import toy_network

Array = NDArray[np.float64]
NETWORK = toy_network()
RANDOM = np.random.default_rng(3)
PICTURE = RANDOM.integers(0, 256, (11, 13, 3)).astype(np.uint8)
# Five items, since the reach of an alignment is four.
X = torch.from_numpy(40 * RANDOM.normal(size=(5, 3, 11, 13)))
ACTS = {**NETWORK.activations(X, ["tanh1", "conv2", "fc"])}
ACTS["fc"] = ACTS["fc"] / 100
TANH, CONV, FC = (ACTS[name].numpy() for name in ("tanh1", "conv2", "fc"))
SEEN = {name: a[0].numpy() for name, a in NETWORK.activations_of(PICTURE, ["tanh1", "conv2", "fc"]).items()}
V4, V5, V7 = (RANDOM.normal(size=k) for k in (4, 5, 7))
EPS = np.finfo(np.float32).eps
PATCH = RANDOM.normal(size=(5, 4, 6))


def values(objective: Objective) -> Array:
    bound = objective.bind(NETWORK)
    return np.asarray(bound(ACTS).numpy())


def lucid(column: Array, v: Array, power: float) -> float:
    dot = float(column @ v)
    cosine = dot / ((np.linalg.norm(column) + 1e-4) * (np.linalg.norm(v) + 1e-4))
    return dot * max(0.1, cosine) ** power


def style_matrix(a: Array) -> Array:
    flat = a.reshape(a.shape[0], -1)
    return np.asarray(flat @ flat.T / flat.shape[1])


def lucid_diversity(a: Array) -> float:
    grams = [style_matrix(one) / np.linalg.norm(style_matrix(one)) for one in a]
    return sum(float((grams[i] * grams[j]).sum()) for i in range(len(a)) for j in range(len(a)) if i != j) / len(a)


def lucid_alignment(a: Array, ratio: float = 2) -> float:
    return -sum(((a[i] - a[i + d]) ** 2).mean() / ratio**d for d in (1, 2, 3, 4) for i in range(len(a) - d))


def best_columns(a: Array, guide: Array) -> Array:
    """What DeepDream's guide sends back: for each place the guide's column with the largest dot product."""
    x, y = a.reshape(a.shape[0], -1), guide.reshape(guide.shape[0], -1)
    return np.asarray(y[:, (x.T @ y).argmax(1)].reshape(a.shape))


def likeness(a: Array, seen: Array, power: float) -> float:
    dot = float((a * seen).sum())
    return dot * max(0.1, dot / (1e-6 + np.sqrt((a**2).sum()))) ** power


def inverted(a: Array, seen: Array) -> float:
    return float(-((a - seen) ** 2).sum() / (seen**2).sum())


@pytest.mark.parametrize(
    ("objective", "formula"),
    [
        (Energy("conv2"), lambda i: 0.5 * (CONV[i] ** 2).sum()),
        (Energy("conv2", "mean"), lambda i: (CONV[i] ** 2).mean()),
        (Energy("fc", "mean"), lambda i: (FC[i] ** 2).mean()),
        (Energy("conv2", "norm"), lambda i: (CONV[i] ** 2).sum() / (np.linalg.norm(CONV[i]) + EPS)),
        (Energy("conv2", weights=V5), lambda i: 0.5 * (V5[:, None, None] * CONV[i] ** 2).sum()),
        (Energy("fc", "mean", V7), lambda i: (V7 * FC[i] ** 2).mean()),
        (Energy("fc", "norm", V7), lambda i: (V7 * FC[i] ** 2).sum() / (np.linalg.norm(V7 * FC[i]) + EPS)),
        (LogProbability("fc", 3), lambda i: log_softmax(FC[i])[3]),
        (LogProbability("fc", "tabby cat", own_logit_only=True), lambda i: log_softmax(FC[i])[1]),
        (LogProbability("conv2", 4), lambda i: log_softmax(CONV[i], axis=0)[4].mean()),
        (Places("conv2", 3, [(0, 1), (6, 8), (6, 8)]), lambda i: (CONV[i, 3, 0, 1] + 2 * CONV[i, 3, 6, 8]) / 3),
        (Places("conv2", 3, np.array([[0, 1], [6, 8]])), lambda i: (CONV[i, 3, 0, 1] + CONV[i, 3, 6, 8]) / 2),
        (Places("conv2", (3, 1, 0, 2, 2), [(0, 1), (6, 8)], "sum"), lambda i: sum(CONV[i, (3, 1, 0, 2, 2)[i], [0, 6], [1, 8]])),
        (Direction("tanh1", V4), lambda i: np.tensordot(V4, TANH[i], 1).mean()),
        (
            Direction("tanh1", V4, 1.5),
            lambda i: np.mean([lucid(TANH[i, :, y, x], V4, 1.5) for y in range(9) for x in range(11)]),
        ),
        (Direction("fc", V7, 2), lambda i: lucid(FC[i], V7, 2)),
        (Direction("fc", RANDOM.permuted(np.tile(V7, (5, 1)), axis=1)), None),
        (DirectionNeuron("conv2", V5, power=2), lambda i: lucid(CONV[i, :, 3, 4], V5, 2)),
        (
            DirectionNeuron("conv2", V5, (0, 1, 2, 3, 4), 8, power=1),
            lambda i: lucid(CONV[i, :, i, 8], V5, 1),
        ),
        (DirectionNeuron("fc", V7), lambda i: FC[i] @ V7),
        (
            TensorDirection("conv2", PATCH, 2),  # rows 1 to 4 of 7, columns 1 to 6 of 9
            lambda i: np.mean([lucid(CONV[i, :, 1 + y, 1 + x], PATCH[:, y, x], 2) for y in range(4) for x in range(6)]),
        ),
        (Interpolate("conv2", 3, 1, 5), lambda i: (1 - i / 4) * CONV[i, 3].mean() + i / 4 * CONV[i, 1].mean()),
        (Interpolate("conv2", 3, 6, 5, other_layer="fc"), lambda i: (1 - i / 4) * CONV[i, 3].mean() + i / 4 * FC[i, 6]),
        (Inversion("conv2", PICTURE), lambda i: inverted(CONV[i], SEEN["conv2"])),
        (Inversion(("conv2", "fc"), PICTURE), lambda i: inverted(CONV[i], SEEN["conv2"]) + inverted(FC[i], SEEN["fc"])),
        (Caricature("conv2", PICTURE), lambda i: likeness(CONV[i], SEEN["conv2"], 0)),
        (Caricature("tanh1", PICTURE, 2), lambda i: likeness(TANH[i], SEEN["tanh1"], 2)),
        (Style("conv2", PICTURE), lambda i: -np.abs(style_matrix(CONV[i]) - style_matrix(SEEN["conv2"])).mean()),
        (
            Style(("conv2", "tanh1"), PICTURE, (2, 0.25), squared=True),
            lambda i: (
                -2 * ((style_matrix(CONV[i]) - style_matrix(SEEN["conv2"])) ** 2).mean()
                - 0.25 * ((style_matrix(TANH[i]) - style_matrix(SEEN["tanh1"])) ** 2).mean()
            ),
        ),
        (Guide("conv2", PICTURE), lambda i: (CONV[i] * best_columns(CONV[i], SEEN["conv2"])).sum()),
    ],
    ids=name_of,
)
def test_formula(objective: Objective, formula: Callable[[int], float] | None) -> None:
    if formula is None:
        assert isinstance(objective, Direction)
        expected = [FC[i] @ np.array(objective.vector[i]) for i in range(5)]
    else:
        expected = [formula(i) for i in range(5)]
    np.testing.assert_allclose(values(objective), expected, rtol=1e-11)
    assert len(set(np.round(expected, 9))) == 5


@pytest.mark.parametrize("layers", ["conv2", "fc", ("conv2", "tanh1", "fc")])
def test_diversity_and_alignment_add_up_to_lucids(layers: str | tuple[str, ...]) -> None:
    arrays = [ACTS[name].numpy() for name in ((layers,) if isinstance(layers, str) else layers)]
    assert values(Diversity(layers)).sum() == pytest.approx(sum(lucid_diversity(a) for a in arrays), rel=1e-12)
    assert values(Alignment(layers)).sum() == pytest.approx(sum(lucid_alignment(a) for a in arrays), rel=1e-12)
    assert values(Alignment(layers, 3)).sum() == pytest.approx(sum(lucid_alignment(a, 3) for a in arrays), rel=1e-12)


def test_diversity_does_not_mind_the_order() -> None:
    order = [3, 0, 4, 2, 1]
    mixed = {name: a[order] for name, a in ACTS.items()}
    np.testing.assert_allclose(Diversity("conv2").bind(NETWORK)(mixed).numpy(), values(Diversity("conv2"))[order], rtol=1e-13)


def gradient(objective: Objective, layer: str) -> Array:
    leaf = ACTS[layer].clone().requires_grad_()
    return np.asarray(torch.autograd.grad(objective.bind(NETWORK)({**ACTS, layer: leaf}).sum(), leaf)[0].numpy())


def test_the_diffs_that_caffe_programs_write_by_hand() -> None:
    np.testing.assert_array_equal(gradient(Energy("conv2"), "conv2"), CONV)
    lengths = np.sqrt((CONV**2).sum((1, 2, 3), keepdims=True))
    np.testing.assert_allclose(gradient(Energy("conv2", "norm"), "conv2"), CONV / (lengths + EPS), rtol=1e-12)
    best = np.stack([best_columns(a, SEEN["conv2"]) for a in CONV])
    np.testing.assert_array_equal(gradient(Guide("conv2", PICTURE), "conv2"), best)
    flat = np.stack([best_columns(a, SEEN["fc"]) for a in FC])
    np.testing.assert_array_equal(gradient(Guide("fc", PICTURE), "fc"), flat)
    v = SEEN["conv2"].sum((1, 2))
    weighted = (v / np.abs(v).sum())[:, None, None] * CONV
    lengths = np.sqrt((weighted**2).sum((1, 2, 3), keepdims=True))
    np.testing.assert_allclose(gradient(Guide("conv2", PICTURE, "channels"), "conv2"), weighted / (lengths + EPS))
    own, whole = np.zeros_like(FC), -softmax(FC, axis=1)
    own[:, 3] = 1 - softmax(FC, axis=1)[:, 3]
    whole[:, 3] += 1
    np.testing.assert_allclose(gradient(LogProbability("fc", 3, own_logit_only=True), "fc"), own, rtol=1e-12)
    np.testing.assert_allclose(gradient(LogProbability("fc", 3), "fc"), whole, rtol=1e-12)


def test_a_guide_in_parts_is_the_guide(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = values(Guide("conv2", PICTURE))
    monkeypatch.setattr("dreamopt.objectives.guide._AT_ONCE", 200)
    np.testing.assert_allclose(values(Guide("conv2", PICTURE)), whole, rtol=1e-13)


def test_the_picture_itself_is_matched() -> None:
    x = NETWORK.from_rgb(PICTURE)[None].repeat(2, 1, 1, 1)
    activations = NETWORK.activations(x, ["tanh1", "conv2", "fc"])
    for objective in (Inversion(("tanh1", "fc"), PICTURE), Style(("tanh1", "fc"), PICTURE), Style("conv2", frozen_image(PICTURE))):
        np.testing.assert_allclose(objective.bind(NETWORK)(activations).numpy(), 0, atol=1e-9)


def test_who_has_reached_it() -> None:
    activations = {"conv2": torch.zeros(2, 5, 7, 9), "fc": torch.zeros(2, 7)}
    activations["conv2"][0, 3, 2, 4] = 1
    activations["conv2"][0, 1, 0, 0] = 5
    activations["conv2"][1, 1, 2, 4] = 1
    activations["fc"][1, 6] = 2
    activations["fc"][0, 5] = 2
    for objective, expected in (
        (Neuron("conv2", 3, 2, 4), [True, False]),
        (Neuron("conv2", (3, 1), 2, 4), [True, True]),
        (Neuron("fc", 6), [False, True]),
        (Places("conv2", 3, [(2, 4), (1, 1)]), [True, False]),
        (Places("conv2", 3, [[(2, 4), (0, 0)], [(2, 2)]]), [False, True]),
        (LogProbability("fc", (6, 6)), [False, True]),
    ):
        is_argmax = objective.bind(NETWORK).is_argmax(activations)
        assert is_argmax is not None
        assert is_argmax.tolist() == expected, str(objective)
    assert Direction("fc", V7).bind(NETWORK).is_argmax(activations) is None
