"""What every objective holds, by existing: values per item, true gradients, algebra, strings, immutability."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

import dreamopt.objectives
from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.objective import Objective, each, frozen_picture, objectives, parse
from dreamopt.objectives import (
    Alignment,
    Caricature,
    Channel,
    ClassScore,
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
from tests.support.toy import toy_network

RANDOM = np.random.default_rng(5)
PICTURES = tuple(frozen_picture(RANDOM.integers(0, 256, shape)) for shape in ((11, 13, 3), (30, 20, 3), (14, 22, 3)))
# The layers have 4 (conv1, tanh1), 5 (conv2, relu2, pool) and 7 (fc) channels.
V4, V5, V7 = ([tuple(row) for row in RANDOM.normal(size=(3, k)).round(2).tolist()] for k in (4, 5, 7))
PATCH = RANDOM.normal(size=(3, 5, 4, 3)).round(2)

# For each objective by name: how it is made for all items alike, and for a batch of three. A new file in objectives/ fails here
# until it has an entry. None where there is no such form.
EXAMPLES: dict[str, list[tuple[Objective | None, Objective | None]]] = {
    "neuron": [
        (Neuron("conv2", 3), Neuron("conv2", (3, 0, 4))),
        (Neuron("tanh1", 1, 2, 7), Neuron("tanh1", (1, 3, 0), (2, 8, 0), (7, 10, 1))),
        (Neuron("fc", 6), Neuron("fc", (6, 0, 2))),
        (Neuron("tanh1", 1, 2, 7), Neuron("tanh1", 1, (2, 8, 0), 7)),
    ],
    "places": [
        (Places("conv2", 3, [(0, 1), (6, 8), (0, 1)]), Places("conv2", (3, 0, 4), [(0, 1), (6, 8), (0, 1)])),
        (Places("tanh1", 1, [(2, 7)]), Places("tanh1", 1, [[(2, 7)], [(8, 10), (0, 3)], [(1, 1)]])),
        (Places("tanh1", 1, [(2, 7), (4, 4)], "sum"), Places("tanh1", (1, 0, 2), [[(2, 7), (4, 4)], [(8, 10)], [(1, 1), (1, 2)]], "sum")),
    ],
    "channel": [(Channel("conv2", 3), Channel("conv2", (3, 0, 4))), (Channel("fc", 2), Channel("fc", (2, 6, 2)))],
    "class_score": [
        (ClassScore("fc", 5), ClassScore("fc", (5, 1, 0))),
        (ClassScore("fc", "tabby cat"), ClassScore("fc", ("tabby cat", 6, "rule"))),
        (ClassScore("conv2", 4), ClassScore("conv2", (4, 3, 2))),
    ],
    "log_probability": [
        (LogProbability("fc", 5), LogProbability("fc", (5, 1, 0))),
        (LogProbability("fc", "tabby cat"), LogProbability("fc", ("tabby cat", 6, "rule"))),
        (LogProbability("tanh1", 3), LogProbability("tanh1", (3, 1, 2))),
        (LogProbability("fc", 5, own_only=True), LogProbability("fc", (5, 1, 0), own_only=True)),
        (LogProbability("tanh1", 3, own_only=True), LogProbability("tanh1", (3, 1, 2), own_only=True)),
    ],
    "energy": [
        (Energy("conv2"), None),
        (Energy("fc"), None),
        (Energy("conv2", "mean"), None),
        (Energy("tanh1", "norm"), None),
        (Energy("conv2", weights=V5[0]), None),
        (Energy("fc", "mean", V7[0]), None),
        (Energy("tanh1", "norm", V4[0]), None),
    ],
    "direction": [
        (Direction("tanh1", V4[0]), Direction("tanh1", V4)),
        (Direction("conv2", V5[0], power=2), Direction("conv2", V5, power=2)),
        (Direction("fc", V7[0], power=0.5), Direction("fc", V7, power=0.5)),
    ],
    "direction_neuron": [
        (DirectionNeuron("tanh1", V4[0]), DirectionNeuron("tanh1", V4)),
        (DirectionNeuron("conv2", V5[0], 2, 7, 1), DirectionNeuron("conv2", V5, (2, 0, 6), (7, 8, 1), 1)),
        (DirectionNeuron("conv2", V5[0], 2, 7), DirectionNeuron("conv2", V5[0], (2, 0, 6), 7)),
        (DirectionNeuron("fc", V7[0], power=2), DirectionNeuron("fc", V7, power=2)),
    ],
    "tensor_direction": [
        (TensorDirection("conv2", PATCH[0]), TensorDirection("conv2", PATCH)),
        (TensorDirection("conv2", PATCH[0], 2), TensorDirection("conv2", PATCH, 2)),
    ],
    "interpolate": [
        (None, Interpolate("conv2", 3, 0, 3)),
        (None, Interpolate("tanh1", 3, 6, 3, other_layer="fc")),
    ],
    "diversity": [(Diversity("conv2"), None), (Diversity(("tanh1", "fc")), None)],
    "alignment": [(Alignment("conv2"), None), (Alignment(("tanh1", "fc"), ratio=3), None)],
    "inversion": [
        (Inversion("conv2", PICTURES[0]), Inversion("conv2", PICTURES)),
        (Inversion(("tanh1", "fc"), PICTURES[0]), Inversion(("tanh1", "fc"), PICTURES)),
    ],
    "caricature": [
        (Caricature("conv2", PICTURES[0]), Caricature("conv2", PICTURES)),
        (Caricature(("tanh1", "fc"), PICTURES[0], power=2), Caricature(("tanh1", "fc"), PICTURES, power=2)),
    ],
    "style": [
        (Style("conv2", PICTURES[0]), Style("conv2", PICTURES)),
        (Style(("tanh1", "fc"), PICTURES[0], (2, 0.5), True), Style(("tanh1", "fc"), PICTURES, (2, 0.5), True)),
    ],
    "guide": [
        (Guide("conv2", PICTURES[0]), Guide("conv2", PICTURES)),
        (Guide(("tanh1", "fc"), PICTURES[0]), Guide(("tanh1", "fc"), PICTURES)),
        (Guide("conv2", PICTURES[0], "channels"), Guide("conv2", PICTURES, "channels")),
    ],
}
ALL = [pytest.param(o, id=f"{o}"[:90]) for pairs in EXAMPLES.values() for pair in pairs for o in pair if o is not None]
ALIKE = [p for p in ALL if p.values[0].batch is None and not p.values[0].coupled]
BATCHES = [p for p in ALL if p.values[0].batch is not None]
COUPLED = [p for p in ALL if p.values[0].coupled]
PAIRS = [
    pytest.param(*pair, id=f"{pair[1]}"[:90])
    for pairs in EXAMPLES.values()
    for pair in pairs
    if pair[0] is not None and pair[1] is not None
]
NETWORK = toy_network()
LAYERS = ["conv1", "tanh1", "conv2", "relu2", "pool", "fc"]


def _own_part(a: np.ndarray, unit: int) -> np.ndarray:
    p = np.exp(a - a.max(0)) / np.exp(a - a.max(0)).sum(0)
    own = np.zeros_like(a)
    own[unit] = (1 - p[unit]) / a[0].size
    return own


def _over_length(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    wa = np.moveaxis(np.moveaxis(a, 0, -1) * w, -1, 0)
    return wa / (np.sqrt((wa**2).sum()) + np.finfo(np.float32).eps)


def _guided_weights(o: Guide) -> np.ndarray:
    (seen,) = NETWORK.activations_of(o.picture, o.layers).values()
    v = seen[0].numpy().reshape(seen.shape[1], -1).sum(1)
    return v / np.abs(v).sum()


def _rule(objective: Objective, a: np.ndarray, index: int) -> np.ndarray | None:
    """Return what arrives at the layer of item ``index`` by a published rule that is no number's gradient, written once more."""
    one = objective.item(index)
    if isinstance(one, LogProbability) and one.own_only:
        return _own_part(a, one.unit)  # type: ignore[arg-type]
    if isinstance(one, Energy) and one.reduce == "norm" and one.weights is not None:
        return _over_length(a, np.array(one.weights))
    if isinstance(one, Guide) and one.match == "channels":
        return _over_length(a, _guided_weights(one))
    return None


def _text(objective: Objective) -> str:
    """Return the string, a picture in memory replaced by a path: no string makes the former."""
    if isinstance(getattr(objective, "picture", None), str | type(None)):
        return str(objective)
    given = objective.picture  # type: ignore[attr-defined]
    named = tuple(f"picture {i}, | here - there.png" for i in range(3)) if isinstance(given, tuple) else "a photo.png"
    return str(dataclasses.replace(objective, picture=named))  # type: ignore[type-var]


@pytest.fixture
def activations() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    found = NETWORK.activations(40 * torch.randn(3, 3, 11, 13, dtype=torch.float64), LAYERS)
    # The toy's scores are hundreds apart, where every probability is 0 or 1.
    return {**found, "fc": found["fc"] / 100}


def test_every_objective_has_an_example() -> None:
    assert sorted(EXAMPLES) == objectives.names()
    for plugin in objectives:
        assert all(type(one) is plugin.make for pair in EXAMPLES[plugin.name] for one in pair if one is not None)
        assert plugin.make.__name__ in dreamopt.objectives.__all__


@pytest.mark.parametrize("objective", ALIKE + BATCHES)
def test_values_per_item(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    assert bound(activations).shape == (3,)
    assert bound.batch == objective.batch
    assert bound.batch in (None, 3)
    assert not bound.coupled
    for i in range(3):
        alone = {name: a[i : i + 1] for name, a in activations.items()}
        assert bound.item(i).batch is None
        torch.testing.assert_close(bound(activations)[i : i + 1], bound.item(i)(alone), rtol=1e-14, atol=0)
    torch.testing.assert_close(bound(activations), bound(activations), rtol=0, atol=0)


@pytest.mark.parametrize(("one", "many"), PAIRS)
def test_a_batch_of_units(one: Objective, many: Objective, activations: dict[str, torch.Tensor]) -> None:
    one, many = one.bind(NETWORK), many.bind(NETWORK)
    assert (many.batch, one.batch) == (3, None)
    assert many.item(0) == one
    assert one.item(2) == one
    assert many.item(1).bind(NETWORK) == many.item(1)
    first = {name: a[:1] for name, a in activations.items()}
    torch.testing.assert_close(many.item(0)(first), one(first), rtol=0, atol=0)
    values = one(activations)
    assert len({v.item() for v in values}) == 3
    if type(many) is not Interpolate:
        assert not torch.equal(values[1:], many(activations)[1:])


@pytest.mark.parametrize("objective", COUPLED)
def test_those_that_compare_items(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    values = bound(activations)
    assert bound.batch is None
    assert bound.coupled
    assert (2 * bound - Channel("conv2", 1)).coupled
    assert values.abs().min() > 1e-3
    alone = {name: a[1:2].requires_grad_() for name, a in activations.items()}
    assert not bound(alone).any()
    back = {name: a.flip(0) for name, a in activations.items()}
    torch.testing.assert_close(bound(back), values.flip(0), rtol=1e-13, atol=0)
    same = {name: a[[1, 1, 0]] for name, a in activations.items()}
    assert bound(same)[0] > bound({name: a[[1, 2, 0]] for name, a in activations.items()})[0]  # the more alike, the higher
    with pytest.raises(ObjectiveError, match="compares the items of a batch"):
        each([objective, Channel("conv2", 1)]).bind(NETWORK)


@pytest.mark.parametrize("objective", ALL)
def test_gradients_are_those_of_finite_differences(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    leaves = [activations[name].detach().requires_grad_() for name in bound.layers]
    expected = [_rule(bound, a.numpy(), i) for i, a in enumerate(activations[bound.layers[0]])]
    if expected[0] is None:
        assert torch.autograd.gradcheck(lambda *a: bound(dict(zip(bound.layers, a, strict=True))), leaves)
    else:
        (got,) = torch.autograd.grad(bound({bound.layers[0]: leaves[0]}).sum(), leaves)
        np.testing.assert_allclose(got.numpy(), np.stack(expected), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("objective", ALIKE + BATCHES)
def test_items_do_not_touch(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    leaves = {name: activations[name].detach().requires_grad_() for name in bound.layers}
    bound(leaves)[1].backward()
    for leaf in leaves.values():
        assert leaf.grad is not None
        assert leaf.grad[1].any()
        assert not leaf.grad[0].any()
        assert not leaf.grad[2].any()


@pytest.mark.parametrize("objective", ALL)
def test_activations_that_are_zero(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    """After a ReLU whole columns are zero; no length may divide by that."""
    bound = objective.bind(NETWORK)
    leaves = {name: torch.zeros_like(activations[name]).requires_grad_() for name in bound.layers}
    values = bound(leaves)
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert all(leaf.grad is None or torch.isfinite(leaf.grad).all() for leaf in leaves.values())


@pytest.mark.parametrize("objective", ALL)
def test_types_and_layers_asked_for(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    asked = {name: activations[name].float() for name in bound.layers}
    values = bound(asked)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), bound(activations), rtol=2e-5, atol=1e-6)
    is_argmax = bound.is_argmax(activations)
    assert is_argmax is None or (is_argmax.dtype == torch.bool and is_argmax.shape == (3,))


@pytest.mark.parametrize("objective", ALL)
def test_algebra(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    before = str(objective)
    a, b = objective.bind(NETWORK), Channel("conv1", 1)
    torch.testing.assert_close((2 * a - b)(activations), 2 * a(activations) - b(activations))
    torch.testing.assert_close((-a + 0.5 * (a + b))(activations), 0.5 * b(activations) - 0.5 * a(activations))
    torch.testing.assert_close((3 * (a * 2))(activations), 6 * a(activations))
    torch.testing.assert_close((a / 4 - (b + a) / np.float32(2))(activations), -a(activations) / 4 - b(activations) / 2)
    torch.testing.assert_close(sum([a, b, a])(activations), 2 * a(activations) + b(activations))
    assert (a + b).batch == a.batch
    mixed = 2 * a - b
    assert mixed.item(1) == 2 * a.item(1) - b
    assert str(objective) == before  # operands are as they were
    for wrong in (lambda: a + 1, lambda: 1 / a, lambda: a * a):  # type: ignore[operator]
        with pytest.raises(TypeError):
            wrong()
    for wrong in (lambda: a / 0, lambda: a * float("nan"), lambda: float("inf") * a):
        with pytest.raises(ObjectiveError, match=r"divided by 0|by a finite number"):
            wrong()


@pytest.mark.parametrize("objective", ALL)
def test_printing_gives_the_string_that_makes_it(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    text = _text(objective)
    for whole in (text, f"2.5*{text} - {text}", f"-({text} + 0.1*{text})", f"{text} | -{text} + {text}"):
        again = parse(whole)
        assert str(again) == whole
        assert hash(again) == hash(parse(str(again)))
        assert parse(str(again)) == again
    if text == str(objective):
        assert str(parse(text).bind(NETWORK)) == str(objective.bind(NETWORK))
        torch.testing.assert_close(parse(text).bind(NETWORK)(activations), objective.bind(NETWORK)(activations), rtol=0, atol=0)


@pytest.mark.parametrize("objective", ALL)
def test_objectives_cannot_be_changed(objective: Objective) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective.layer = "other"  # type: ignore[attr-defined]
    assert hash(objective) == hash(dataclasses.replace(objective)) == hash(copy.deepcopy(objective))  # type: ignore[type-var]
    bound = objective.bind(NETWORK)
    again = pickle.loads(pickle.dumps(bound))
    assert again == bound
    assert hash(again) == hash(bound)


@pytest.mark.parametrize("objective", ALL)
def test_binding_twice_changes_nothing(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    bound = objective.bind(NETWORK)
    assert bound.bind(NETWORK) == bound
    torch.testing.assert_close(bound.bind(NETWORK)(activations), bound(activations), rtol=0, atol=0)


@pytest.mark.parametrize("objective", ALL)
def test_wrong_layer_and_wrong_batch_are_refused(objective: Objective, activations: dict[str, torch.Tensor]) -> None:
    moved = dataclasses.replace(objective, layer="cnov2") if len(objective.layers) == 1 else None  # type: ignore[call-arg,type-var]
    if moved is not None:
        with pytest.raises(TargetError, match=r"no layer 'cnov2'; did you mean conv2"):
            moved.bind(NETWORK)
    if objective.batch is not None:
        with pytest.raises(ObjectiveError, match="for a batch of 3, but the batch has 2 items"):
            objective.bind(NETWORK)({name: a[:2] for name, a in activations.items()})


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
