"""Objectives that are given pictures or vectors, by path or in memory, and what is said of those that do not fit."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import DreamoptError, ImageError, ObjectiveError, TargetError
from dreamopt.network import Network
from dreamopt.objective import ImageReferenceObjective, ImageValue, Objective, from_function, objectives, parse
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
from dreamopt.problem import Problem
from tests.support.toy import toy_network

NETWORK = toy_network()
RANDOM = np.random.default_rng(8)
PICTURE = RANDOM.integers(0, 256, (14, 17, 3)).astype(np.uint8)
OTHER = RANDOM.integers(0, 256, (30, 12, 3)).astype(np.uint8)
ACTS = NETWORK.activations(torch.from_numpy(40 * RANDOM.normal(size=(2, 3, 11, 13))), ["tanh1", "conv2", "fc"])


@pytest.mark.parametrize("kind", [Inversion, Caricature, Style, Guide])
def test_a_picture_by_path_or_in_memory(kind: type[ImageReferenceObjective], tmp_path: Path) -> None:
    path = tmp_path / "a picture (1), - | really.png"
    Image.fromarray(PICTURE).save(path)
    named = kind("conv2", str(path))
    forms = [PICTURE, PICTURE.astype(np.float32), torch.from_numpy(PICTURE), path]
    expected = named.bind(NETWORK)(ACTS)
    for given in forms:
        torch.testing.assert_close(kind("conv2", given).bind(NETWORK)(ACTS), expected, rtol=0, atol=0)  # type: ignore[arg-type]
    assert kind("conv2", path) == named  # type: ignore[arg-type]
    assert kind("conv2", PICTURE) == kind("conv2", PICTURE.copy()) != kind("conv2", OTHER)  # type: ignore[arg-type]
    torch.testing.assert_close(parse(str(named)).bind(NETWORK)(ACTS), expected, rtol=0, atol=0)
    shown = str(kind("conv2", PICTURE))  # type: ignore[arg-type]
    assert "<image 14x17x3 " in shown
    with pytest.raises(ObjectiveError, match="an image that was only in memory; save it"):
        parse(shown)
    both = kind("conv2", [path, OTHER])  # type: ignore[arg-type]
    assert both.batch == 2
    torch.testing.assert_close(both.bind(NETWORK)(ACTS)[:1], expected[:1], rtol=1e-13, atol=0)
    assert not torch.allclose(both.bind(NETWORK)(ACTS)[1], expected[1], rtol=1e-3)
    stack = np.stack([PICTURE, PICTURE[::-1]])
    assert kind("conv2", stack).images == tuple(kind("conv2", one).image for one in stack)  # type: ignore[arg-type]


def test_a_picture_is_looked_up_once_and_at_the_size_of_the_net(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    look = NETWORK.activations_of

    def counted(image: Any, layers: Any, size: Any = None) -> Any:
        calls.append((tuple(layers), size))
        return look(image, layers, size)

    monkeypatch.setattr(NETWORK, "activations_of", counted)
    problem = Problem(NETWORK, Guide(("conv2", "tanh1"), PICTURE) - 0.5 * Inversion("tanh1", [OTHER]), size=(15, 12))
    for _ in range(3):
        problem(problem.start(0))
    assert calls == [(("conv2", "tanh1"), (15, 12)), (("tanh1",), (15, 12))]


def test_a_vector_by_path_or_in_memory(tmp_path: Path) -> None:
    v, w = RANDOM.normal(size=(2, 5))
    np.save(tmp_path / "v.npy", v)
    np.save(tmp_path / "row.npy", v[None])
    np.save(tmp_path / "w.npy", w.astype(np.float32))
    named = Direction("conv2", str(tmp_path / "v.npy"), power=2)
    expected = named.bind(NETWORK)(ACTS)
    forms = [v, tuple(v), v.tolist(), torch.from_numpy(v), tmp_path / "v.npy", tmp_path / "row.npy"]
    for given in forms:
        torch.testing.assert_close(Direction("conv2", given, power=2).bind(NETWORK)(ACTS), expected, rtol=0, atol=0)  # type: ignore[arg-type]
    both = Direction("conv2", [tmp_path / "v.npy", w.astype(np.float32)], power=2)  # type: ignore[list-item]
    assert both.batch == 2
    assert parse(str(both)) == both
    again = Direction("conv2", [tmp_path / "v.npy", tmp_path / "w.npy"], power=2)  # type: ignore[list-item]
    torch.testing.assert_close(both.bind(NETWORK)(ACTS), again.bind(NETWORK)(ACTS), rtol=0, atol=0)
    torch.testing.assert_close(both.bind(NETWORK)(ACTS)[0], expected[0], rtol=1e-13, atol=0)
    np.save(tmp_path / "weights.npy", v)
    torch.testing.assert_close(
        Energy("conv2", weights=str(tmp_path / "weights.npy")).bind(NETWORK)(ACTS), Energy("conv2", weights=tuple(v)).bind(NETWORK)(ACTS)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Energy("conv2", "sums"), 'reduce must be "sum", "mean" or "norm", not \'sums\''),
        (lambda: Energy("conv2", weights=((1, 2), (3, 4))), "one number for each channel, the same for all items"),
        (lambda: Energy("conv2", weights=(1, 2)).bind(NETWORK), r"layer 'conv2' of shape \(5, 7, 9\) needs one weight for each channel, but 2"),
        (lambda: Energy("conv2", weights=(1.0,) * 5)(ACTS), r"must be bound to a network first"),
        (lambda: Direction("conv2", (1, 2)).bind(NETWORK), "layer 'conv2' has 5 channels, but the vector has 2 numbers"),
        (lambda: Direction("conv2", (0.0,) * 5).bind(NETWORK), "is zero everywhere, which is no direction"),
        (lambda: Direction("conv2", (1, float("nan"))), "numbers must be finite; 1 of 2 are not"),
        (lambda: Direction("conv2", ((1, 2), (3,))), "a vector is the path of a .npy file, or numbers, not"),
        (lambda: Direction("conv2", np.ones((2, 3, 4))), r"1 axes here, or 2 with one vector for each item, not the shape \(2, 3, 4\)"),
        (lambda: Direction("conv2", "no.npy").bind(NETWORK), "vector 'no.npy' cannot be read: No such file"),
        (lambda: Direction("conv2", ("a.npy", ((1, 2), (3, 4)))), "each is for one item"),
        (lambda: Direction("conv2", (1.0,) * 5, power=-1), "power of Direction must be at least 0, not -1"),
        (lambda: Direction("conv2", (1.0,) * 5)(ACTS), "must be bound to a network first"),
        (lambda: DirectionNeuron("conv2", (1.0,) * 5, 3), "needs both y and x, or neither"),
        (lambda: DirectionNeuron("conv2", np.ones((2, 5)), (1, 2, 3), 4), "for different numbers of items"),
        (lambda: DirectionNeuron("conv2", (1.0,) * 5, 7, 0).bind(NETWORK), "layer 'conv2' has no row y = 7: it has 7"),
        (lambda: DirectionNeuron("fc", (1.0,) * 7, 1, 0).bind(NETWORK), "layer 'fc' is flat, 7 units without a place"),
        (lambda: TensorDirection("conv2", np.ones((5, 8, 2))).bind(NETWORK), r"shape \(5, 7, 9\); a tensor of shape \(5, 8, 2\) does not fit"),
        (lambda: TensorDirection("fc", np.ones((7, 1, 1))).bind(NETWORK), r"items of shape \(7,\); a tensor of shape \(7, 1, 1\)"),
        (lambda: Interpolate("conv2", 3, 4, 1), "must be at least 2, not 1"),
        (lambda: Interpolate("conv2", (3, 1), 4, 3), r"unit of an interpolation is one whole number, not \(3, 1\)"),
        (lambda: Interpolate("conv2", 3, 5, 3).bind(NETWORK), "layer 'conv2' has no channel 5"),
        (lambda: Interpolate("conv2", 3, 4, 3, other_layer="fcc").bind(NETWORK), "no layer 'fcc'; did you mean fc"),
        (lambda: Places("conv2", 3, []), "places are pairs"),
        (lambda: Places("conv2", 3, [(1, 2.5)]), "places are pairs"),
        (lambda: Places("conv2", 3, [(1, 2, 3)]).bind(NETWORK), r"a place in it has 2 numbers, as in conv2:0@\d,\d, not 3"),
        (lambda: Places("conv2", 3, [(1, 2), (3,)]), "places are pairs"),
        (lambda: Places("conv2", 3, [(1, 9)]).bind(NETWORK), "layer 'conv2' has no column x = 9: it has 9, numbered 0 to 8"),
        (lambda: Places("conv2", 3, [(-1, 2)]).bind(NETWORK), "layer 'conv2' has no row y = -1"),
        (lambda: Places("conv2", 5, [(1, 2)]).bind(NETWORK), "layer 'conv2' has no channel 5"),
        (lambda: Places("fc", 5, [(1, 2)]).bind(NETWORK), r"items of shape \(7,\); places need \(C, H, W\)"),
        (lambda: Diversity(()), "a layer's name, or a sequence of them, is expected"),
        (lambda: Diversity(("conv2", "cnov2")).bind(NETWORK), "no layer 'cnov2'"),
        (lambda: Alignment("conv2", ratio=0), "ratio of Alignment must be above 0, not 0"),
        (lambda: Style(("conv2", "fc"), "a.png", (1,)), "one number for each of the 2 layers"),
        (lambda: Guide("conv2", PICTURE, "rows"), 'match must be "columns" or "channels"'),
        (lambda: Guide("conv2", PICTURE)(ACTS), "must be bound to a network first"),
        (lambda: Guide("conv2", []), "a list of images needs at least one"),
        (lambda: Guide("conv2", np.ones((4, 5))), r"not one of shape \(4, 5\)"),
        (lambda: Guide("dead", PICTURE).bind(NETWORK), "layer 'dead' at zero everywhere, so that it cannot guide"),
        (lambda: Inversion("dead", PICTURE).bind(NETWORK), r"image <image 14x17x3 \w+> leaves layer 'dead' at zero everywhere"),
        (lambda: Caricature("dead", PICTURE).bind(NETWORK), "there is nothing to exaggerate"),
        (lambda: Guide("conv2", "no such.png").bind(NETWORK), "no such.png"),
        (lambda: LogProbability("fc", "lion").bind(NETWORK), "lion"),
        (lambda: parse("cnov2").bind(NETWORK), "no layer 'cnov2'; did you mean conv2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ObjectiveError, TargetError, ImageError), match=message):
        make()


def test_files_that_hold_no_vector(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("1 2 3")
    np.savez(tmp_path / "many.npz", a=np.ones(5))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "two.npy", np.ones((2, 5)))
    np.save(tmp_path / "bad.npy", np.array([1, np.inf, 1, 1, 1]))
    for name, message in (
        ("text.npy", "cannot be read"),
        ("many.npz", "an archive of several arrays"),
        ("words.npy", "cannot be read"),
        ("two.npy", r"must have 1 axes, but its shape is \(2, 5\); for a batch give one path for each item"),
        ("bad.npy", "not finite"),
    ):
        with pytest.raises(ObjectiveError, match=message):
            Direction("conv2", str(tmp_path / name)).bind(NETWORK)


def odd_network() -> Network:
    """Layers whose items are (4, 15), (2, 3, 2, 5) and a single number."""
    layers = [
        ("rows", "Reshape", lambda x: x.reshape(x.shape[0], 4, -1)),
        ("deep", "Reshape", lambda x: x.reshape(x.shape[0], 2, 3, 2, 5)),
        ("one", "Reduction", lambda x: x.flatten(1).sum(1)),
    ]
    return Network(FunctionBackend(layers, (3, 4, 5), dtype=torch.float64))


PATH = ImageValue(RANDOM.integers(0, 256, 60).astype(np.uint8).reshape(4, 5, 3))


@pytest.mark.parametrize(
    ("objective", "refusal"),
    [
        (Channel("rows", 1), None),
        (Channel("deep", 1), None),
        (Channel("one", 0), None),
        (ClassScore("rows", 1), None),
        (LogProbability("rows", 1), None),
        (LogProbability("one", 0), "has one unit only, whose probability is always 1"),
        (Neuron("rows", 1), None),
        (Neuron("one", 0), None),
        (Places("deep", 1, [(0, 0)]), r"items of shape \(2, 3, 2, 5\)"),
        (Energy("rows", "norm", (1, 2, 3, 4)), None),
        (Energy("deep", weights=(1, 2)), None),
        (Energy("one"), None),
        (Energy("one", weights=(1,)), None),
        (Direction("rows", (1, 2, 3, 4), 2), None),
        (Direction("deep", (1, 2), 2), None),
        (Direction("one", (1,)), None),
        (DirectionNeuron("rows", (1, 2, 3, 4)), None),
        (TensorDirection("deep", np.ones((2, 1, 1))), "does not fit"),
        (Interpolate("rows", 1, 0, 2, other_layer="deep"), None),
        (Diversity(("rows", "deep", "one")), None),
        (Alignment(("rows", "deep", "one")), None),
        (Inversion(("rows", "deep", "one"), PATH), None),
        (Caricature(("rows", "deep", "one"), PATH, 2), None),
        (Style(("rows", "deep", "one"), PATH), None),
        (Guide(("rows", "deep", "one"), PATH), None),
        (Guide(("rows", "deep"), PATH, "channels"), None),
    ],
    ids=str,
)
def test_layers_of_other_shapes(objective: Objective, refusal: str | None) -> None:
    network = odd_network()
    if refusal is not None:
        with pytest.raises(DreamoptError, match=refusal):
            objective.bind(network)
        return
    x = torch.from_numpy(RANDOM.normal(size=(2, 3, 4, 5))).requires_grad_()
    bound = objective.bind(network)
    bound(network.activations(x, bound.layers)).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert x.grad.flatten(1).any(1).all()


@dataclasses.dataclass(frozen=True)
class Nearest(ImageReferenceObjective):
    """A user's own: the largest product with the picture's mean column."""

    sharp: float = 1.0

    def prepare(self, activation: torch.Tensor, layer: str, image: object) -> torch.Tensor:
        return activation.mean((2, 3), keepdim=True)

    def value(self, activations: Any) -> torch.Tensor:
        a = activations[self.layer]
        return self.sharp * (a * self.reference(a)[0]).sum(1).flatten(1).amax(1)


def test_a_users_own_with_a_picture(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "p.png")
    with objectives.registered(Nearest):
        text = f'Nearest("conv2", "{tmp_path / "p.png"}", sharp=2)'
        own = parse(text)
        assert str(own) == text
        mean = NETWORK.activations_of(PICTURE, ["conv2"])["conv2"].mean((2, 3))[0]
        expected = 2 * torch.einsum("nchw,c->nhw", ACTS["conv2"], mean).flatten(1).amax(1)
        torch.testing.assert_close(own.bind(NETWORK)(ACTS), expected)


def test_a_users_own_that_compares_items() -> None:
    apart = from_function(lambda a: (a.flatten(1) - a.flatten(1).mean(0)).square().mean(1), "apart", coupled=True)("conv2")
    assert apart.coupled
    assert (Channel("conv2", 1) + apart).coupled
    assert not from_function(lambda a: a.flatten(1).mean(1), "mean")("conv2").coupled
    with pytest.raises(ObjectiveError, match="compares the items of a batch"):
        Problem(NETWORK, [apart, apart])
    problem = Problem(NETWORK, apart, batch=3)
    assert problem(problem.start(0)).shape == (3,)


def test_an_error_inside_a_users_own_names_its_file() -> None:
    broken = from_function(lambda a: a @ a, "broken")("conv2") + Channel("conv2", 1)
    with pytest.raises(RuntimeError) as caught:
        broken(ACTS)
    (note,) = caught.value.__notes__
    assert note == f'in the value of objective broken("conv2"), written in {__file__}'
    with pytest.raises(ObjectiveError, match=r"test_objectives_given.py: objective flat\(\"fc\"\) must return one value per item"):
        from_function(lambda a: a, "flat")("fc")(ACTS)
