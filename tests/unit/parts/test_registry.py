"""Plugins of other people: found by name, checked against the contract, errors name their file; strings."""

import dataclasses
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import Tensor

import dreamopt.objectives
from dreamopt.errors import ObjectiveError, RegularizerError
from dreamopt.objective import Objective, from_function, objectives, parse
from dreamopt.parts.registry import Registry
from dreamopt.problem import Problem
from dreamopt.regularizer import Penalty, parse_regularizer, regularizers
from tests.support.toy import toy_network

NETWORK = toy_network()


@dataclasses.dataclass(frozen=True)
class Energy(Objective):
    layer: str
    power: float = 2.0

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def value(self, activations):  # type: ignore[no-untyped-def]
        return activations[self.layer].abs().pow(self.power).flatten(1).mean(1)


@dataclasses.dataclass(frozen=True)
class MeanColour(Penalty):
    weight: float

    def penalty(self, image, context):  # type: ignore[no-untyped-def]
        return self.weight * image.mean((2, 3)).square().sum(1)


def contrast(a: Tensor, b: Tensor, *, weight: float = 1.0) -> Tensor:
    return a.flatten(1).mean(1) - weight * b.flatten(1).mean(1)


@pytest.fixture
def registered() -> Iterator[None]:
    with objectives.registered(Energy), objectives.registered(contrast), regularizers.registered(MeanColour, "mean_colour"):
        yield
    assert objectives.get("Energy").make is dreamopt.objectives.Energy
    assert "contrast" not in objectives.names()


@pytest.mark.usefixtures("registered")
def test_own_plugins_work_as_the_built_in_ones() -> None:
    for text in ('Energy("conv2", power=3.0)', 'energy("conv2") - 0.5*fc:2', 'contrast("tanh1", "conv2", weight=0.25)'):
        objective = parse(text)
        assert parse(str(objective)) == objective
        problem = Problem(NETWORK, text, ["mean_colour(0.1)"])
        x = problem.x0()
        d = torch.randn(x.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
        gradient = problem(x)[1]
        assert (problem(x + 1e-5 * d)[0] - problem(x - 1e-5 * d)[0]) / 2e-5 == pytest.approx(gradient @ d, rel=1e-5)
    assert "energy" in objectives.names()
    assert objectives.get("Energy").origin == __file__
    with pytest.raises(ObjectiveError, match=r"contrast reads 2 layer\(s\), but was given 1: conv2"):
        parse('contrast("conv2")')


def test_plugins_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guest.py").write_text(
        "from dataclasses import dataclass\nfrom dreamopt.objective import Objective\n"
        "@dataclass(frozen=True)\nclass GuestPeak(Objective):\n    layer: str\n"
        "    @property\n    def layers(self):\n        return (self.layer,)\n"
        "    def value(self, acts):\n        return acts[self.layer].flatten(1).amax(1)\n"
        "class Loose(GuestPeak):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [("guest_peak", "guest:GuestPeak"), ("broken", "guest:Missing"), ("nothing", "no_such_module:X"), ("odd", "guest:dataclass")]
    found = [EntryPoint(name, value, "dreamopt.objectives") for name, value in points]
    fresh: Registry[Objective] = Registry("objective", "dreamopt.objectives", Objective, ObjectiveError, objectives.methods)
    monkeypatch.setattr(fresh, "_points", lambda: found)
    assert {"guest_peak", "channel", "neuron"} <= set(fresh.names())
    plugin = fresh.get("guest_peak")
    assert plugin.origin == str(tmp_path / "guest.py")
    assert plugin.make("conv2")(NETWORK.activations(torch.ones(2, 3, 11, 13).double(), ["conv2"])).shape == (2,)
    with pytest.raises(ObjectiveError, match="entry point broken = guest:Missing"):
        fresh.get("broken")
    with pytest.raises(ObjectiveError, match=r"entry point nothing = no_such_module:X .* cannot be imported"):
        fresh.get("nothing")


def test_a_plugin_that_breaks_the_contract_is_refused_with_its_file() -> None:
    @dataclasses.dataclass
    class Changeable(Energy.__mro__[1]):  # type: ignore[name-defined,misc]
        pass

    @dataclasses.dataclass(frozen=True)
    class Valueless(Objective):
        layers = ("conv2",)  # type: ignore[assignment]

    @dataclasses.dataclass(frozen=True)
    class Layerless(Objective):
        def value(self, activations):  # type: ignore[no-untyped-def]
            return activations

    @dataclasses.dataclass(frozen=True)
    class Greedy(Penalty):
        def penalty(self, image):  # type: ignore[no-untyped-def,override]
            return image

    for plugin, message in (
        (Changeable, "must be immutable"),
        (Valueless, "must define value"),
        (Layerless, "must define layers"),
        (dict, "must be a subclass of dreamopt.objective.Objective"),
        (lambda: 0, "must take at least one activation"),
    ):
        with pytest.raises(ObjectiveError, match=message) as caught:
            objectives.register(plugin, "bad")
        assert plugin is dict or __file__ in str(caught.value)
    with pytest.raises(RegularizerError, match=r"test_registry.py: Greedy.penalty must take \(self, image, context\)"):
        regularizers.register(Greedy)


def test_values_of_the_wrong_shape_are_refused_with_the_file() -> None:
    total = from_function(lambda a: a.sum(), "total")
    with pytest.raises(ObjectiveError, match=r'total\("conv2"\) must return one value per item, a tensor of shape \(2,\), not \(\)'):
        Problem(NETWORK, total("conv2"), batch=2).x0()

    class Flat(MeanColour):
        def penalty(self, image, context):  # type: ignore[no-untyped-def]
            return image.mean((2, 3))

    with pytest.raises(RegularizerError, match=r"test_registry.py: penalty Flat\(1\) must return one value per item.*not \(1, 3\)"):
        Problem(NETWORK, "conv2:1", Flat(1)).x0()


@pytest.mark.parametrize(
    "text",
    [
        "conv4:7",
        "conv4:7@3,5",
        "conv4:7,9@3,5;4,4",
        "conv4:7,9@centre",
        "inception_4c/output:12",
        "scope:conv1-relu:3 - b:4",
        "fc8:tabby cat",
        "fc8:tabby, tabby cat",
        'fc8:"a - b | c","7"',
        'fc8:"potter\'s wheel (clay)"',
        'fc8:"say ""'.replace('""', '\\"x\\""'),
        "conv4:7@(3,5;4,4)",
        "conv4:7,9@(3,5;4,4);(1,1)",
        "conv4",
        "0.5*inception_4c/output - conv1-relu | -a",
        "-conv4:7 + 2*(a:1 - 0.125*b:2)",
        "1e-05*conv4:7",
        "conv4:7 | 2*fc8:3 - a:1 | -b:2",
    ],
)
def test_strings_come_back(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [(" conv4 : 7 ", "conv4:7"), ("2 * conv4:7", "2*conv4:7"), ("conv4:7@center", "conv4:7@centre"), ("conv4:7 + -b:2", "conv4:7 - b:2"),
     ("conv4:7 / 4", "0.25*conv4:7"), ("2*(a:1 + b) / -4", "-0.5*(a:1 + b)"), (" Energy('a/b') ", "a/b"), ("a:1@ ( 2,3 )", "a:1@(2,3)"),
     ("- conv4:7", "-conv4:7"), ("((a:1))", "a:1"), ("channel('a', 1)", "a:1"), ("Neuron('a', 1, y=2, x=3)", "a:1@2,3")],
)  # fmt: skip
def test_strings_may_be_loose(text: str, same: str) -> None:
    assert str(parse(text)) == same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a term is missing"),
        ("conv 4", "must be LAYER:UNIT.* or a LAYER alone"),
        ("conv4@3,5", "must be LAYER:UNIT"),
        (":7", "must be LAYER:UNIT"),
        ("conv4:", "must be LAYER:UNIT"),
        ("conv4:7 | ", "a term is missing in the target"),
        ("chanel('a', 1)", "no objective is called 'chanel' .did you mean channel"),
        ("channel('a', 1, 2)", "does not fit"),
        ("channel('a', open('x'))", "must be Python literals or schedules"),
        ("channel(", "must be LAYER:UNIT"),
        ("conv4:7,9@1,2;3,4;5,6", "for different numbers of items"),
        ("conv4:7,9@(1,2);(3,4);(5,6)", "2 units and 3 lists of places are for different batches"),
        ("conv4:7 / 0", "cannot be divided by 0"),
        ("Guide('conv4', <image 3x2 abcd>)", "an image that was only in memory; save it"),
    ],
)
def test_strings_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l2", "does not fit"),
        ("l3(1)", "no regularizer is called 'l3'; there are alpha_norm, bilateral, "),
        ("l2(1) + decay(0.1)", "only penalties can be added"),
        ("2*decay(0.1)", "only a penalty can be multiplied"),
        ("l2(Cubic(1, 2))", "no schedule Cubic; there are Constant, Linear, Geometric"),
        ("1 2", "must be NAME"),
    ],
)
def test_regularizer_strings_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(RegularizerError, match=message):
        parse_regularizer(text)


@pytest.mark.parametrize("package", ["objectives", "regularizers"])
def test_the_folders_at_the_top_are_not_imported_by_their_bare_names(package: str) -> None:
    import importlib.util

    root = Path(__file__).resolve().parents[3]
    spec = importlib.util.spec_from_file_location(package, root / package / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=rf"as dreamopt\.{package}, not as {package}"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
