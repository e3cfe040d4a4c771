"""What every objective holds, by existing: values per item, true gradients, algebra, strings, immutability."""

import dataclasses

import pytest
import torch

from dreamopt.errors import ObjectiveError, TargetError
from dreamopt.grammar import parse
from dreamopt.objective import Each, Objective, each
from dreamopt.objectives import Channel, ClassScore, Neuron
from dreamopt.registry import objectives
from tests.toy import toy_network

# For each objective by name: how it is made, for one unit and for one unit per item of a batch of three. A new file in
# objectives/ fails here until it has an entry.
EXAMPLES: dict[str, list[tuple[Objective, Objective]]] = {
    "neuron": [
        (Neuron("conv2", 3), Neuron("conv2", (3, 0, 4))),
        (Neuron("tanh1", 1, 2, 7), Neuron("tanh1", (1, 3, 0), (2, 8, 0), (7, 10, 1))),
        (Neuron("fc", 6), Neuron("fc", (6, 0, 2))),
        (Neuron("tanh1", 1, 2, 7), Neuron("tanh1", 1, (2, 8, 0), 7)),
    ],
    "channel": [(Channel("conv2", 3), Channel("conv2", (3, 0, 4))), (Channel("fc", 2), Channel("fc", (2, 6, 2)))],
    "class_score": [
        (ClassScore("fc", 5), ClassScore("fc", (5, 1, 0))),
        (ClassScore("fc", "tabby cat"), ClassScore("fc", ("tabby cat", 6, "rule"))),
        (ClassScore("conv2", 4), ClassScore("conv2", (4, 3, 2))),
    ],
}
CASES = [pytest.param(one, many, id=str(many)) for pairs in EXAMPLES.values() for one, many in pairs]
NETWORK = toy_network()
LAYERS = ["conv1", "tanh1", "conv2", "relu2", "pool", "fc"]


@pytest.fixture
def acts() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return NETWORK.activations(40 * torch.randn(3, 3, 11, 13, dtype=torch.float64), LAYERS)


def test_every_objective_has_an_example() -> None:
    assert sorted(EXAMPLES) == objectives.names()
    for plugin in objectives:
        assert all(type(term) is plugin.make for pair in EXAMPLES[plugin.name] for term in pair)


@pytest.mark.parametrize(("one", "many"), CASES)
def test_values_per_item(one: Objective, many: Objective, acts: dict[str, torch.Tensor]) -> None:
    one, many = one.bind(NETWORK), many.bind(NETWORK)
    assert one(acts).shape == many(acts).shape == (3,)
    assert (many.batch, one.batch) == (3, None)
    for i in range(3):
        alone = {name: a[i : i + 1] for name, a in acts.items()}
        torch.testing.assert_close(many(acts)[i : i + 1], many.item(i)(alone), rtol=0, atol=0)
        torch.testing.assert_close(one(acts)[i : i + 1], one.item(i)(alone), rtol=0, atol=0)
    assert many.item(0) == one
    torch.testing.assert_close(many(acts), many(acts), rtol=0, atol=0)


@pytest.mark.parametrize(("one", "many"), CASES)
def test_gradients_are_those_of_finite_differences(one: Objective, many: Objective, acts: dict[str, torch.Tensor]) -> None:
    for objective in (one.bind(NETWORK), many.bind(NETWORK)):
        leaves = [acts[name].detach().requires_grad_() for name in objective.layers]
        assert torch.autograd.gradcheck(lambda *a, o=objective: o(dict(zip(o.layers, a, strict=True))), leaves)


@pytest.mark.parametrize(("one", "many"), CASES)
def test_items_do_not_touch(one: Objective, many: Objective, acts: dict[str, torch.Tensor]) -> None:
    many = many.bind(NETWORK)
    leaves = {name: acts[name].detach().requires_grad_() for name in many.layers}
    many(leaves)[1].backward()
    for leaf in leaves.values():
        assert leaf.grad is not None
        assert leaf.grad[1].any()
        assert not leaf.grad[0].any()
        assert not leaf.grad[2].any()


@pytest.mark.parametrize(("one", "many"), CASES)
def test_algebra(one: Objective, many: Objective, acts: dict[str, torch.Tensor]) -> None:
    a, b = many.bind(NETWORK), Channel("conv1", 1)
    torch.testing.assert_close((2 * a - b)(acts), 2 * a(acts) - b(acts))
    torch.testing.assert_close((-a + 0.5 * (a + b))(acts), 0.5 * b(acts) - 0.5 * a(acts))
    torch.testing.assert_close((3 * (a * 2))(acts), 6 * a(acts))
    torch.testing.assert_close(sum([a, b, a])(acts), 2 * a(acts) + b(acts))
    assert (a + b).batch == 3
    mixed = 2 * a - b
    assert mixed.item(1) == 2 * a.item(1) - b
    assert str(many) == str(many.item(0)) or many.batch == 3  # operands are as they were
    with pytest.raises(TypeError):
        a + 1  # type: ignore[operator]


@pytest.mark.parametrize(("one", "many"), CASES)
def test_printing_gives_the_string_that_makes_it(one: Objective, many: Objective) -> None:
    for objective in (one, many, 2.5 * one - many, -(one + 0.1 * many), Each((one, -one + one))):
        again = parse(str(objective))
        assert str(again) == str(objective)
        assert str(again.bind(NETWORK)) == str(objective.bind(NETWORK))


@pytest.mark.parametrize(("one", "many"), CASES)
def test_objectives_cannot_be_changed(one: Objective, many: Objective) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.layer = "other"  # type: ignore[attr-defined]
    assert hash(one) == hash(dataclasses.replace(one))  # type: ignore[type-var]


@pytest.mark.parametrize(("one", "many"), CASES)
def test_binding_twice_changes_nothing(one: Objective, many: Objective) -> None:
    bound = many.bind(NETWORK)
    assert bound.bind(NETWORK) == bound


@pytest.mark.parametrize(("one", "many"), CASES)
def test_wrong_layer_and_wrong_batch_are_refused(one: Objective, many: Objective, acts: dict[str, torch.Tensor]) -> None:
    moved = dataclasses.replace(one, layer="cnov2")  # type: ignore[call-arg,type-var]
    with pytest.raises(TargetError, match=r"no layer 'cnov2'; did you mean conv2"):
        moved.bind(NETWORK)
    with pytest.raises(ObjectiveError, match="for a batch of 3, but the batch has 2 items"):
        many.bind(NETWORK)({name: a[:2] for name, a in acts.items()})


def test_each_item_its_own(acts: dict[str, torch.Tensor]) -> None:
    batch = each([Channel("conv2", 3), -Neuron("tanh1", 1), 2 * ClassScore("fc", "tabby cat") + Channel("pool", 0)]).bind(NETWORK)
    assert str(batch) == "conv2:3 | -tanh1:1@4,5 | 2*fc:1 + pool:0"
    assert set(batch.layers) == {"conv2", "tanh1", "fc", "pool"}
    values = batch(acts)
    torch.testing.assert_close(values[1], -acts["tanh1"][1, 1, 4, 5])
    torch.testing.assert_close(values[2], 2 * acts["fc"][2, 1] + acts["pool"][2, 0].mean())


def test_the_centre_is_lucids() -> None:
    # Lower right of the middle four, where there is no middle.
    assert str(Neuron("pool", 0).bind(NETWORK)) == "pool:0@1,2"
    assert str(Neuron("conv2", 0).bind(NETWORK, (12, 14))) == "conv2:0@4,5"
