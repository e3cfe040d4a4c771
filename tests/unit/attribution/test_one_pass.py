"""How many passes of the net an attribution takes: the score and the highest class come from the method's own."""

from __future__ import annotations

import numpy as np
import pytest

import dreamopt
from dreamopt.attribution.attribute import Explained
from dreamopt.backends.engine import EngineBackend

CLASS_LAYER = "scores"


def photographs() -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(3)]


@pytest.mark.parametrize(("method", "passes"), [("saliency", 1), ("gradient", 1), ("gradient_x_input", 1), ("guided_backprop", 2)])
def test_without_a_target(monkeypatch: pytest.MonkeyPatch, method: str, passes: int) -> None:
    network = dreamopt.load_net(device="cpu")
    made, activations = [], EngineBackend.activations

    def counted(self: EngineBackend, x: object, layers: object, **options: object) -> object:
        made.append(layers)
        return activations(self, x, layers, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(EngineBackend, "activations", counted)
    images = photographs()
    seen: list[int] = []
    found = dreamopt.attribute(network, images, method=method, progress=seen.append)
    assert len(made) == passes
    assert sum(seen) == len(images), "each image counts once"
    made.clear()
    aims = [one.objective for one in found]
    assert all(aim.startswith(CLASS_LAYER) or CLASS_LAYER in aim for aim in aims)
    for one, image, aim in zip(found, images, aims, strict=True):
        alone = dreamopt.attribute(network, image, aim, method=method)
        np.testing.assert_allclose(one.array, alone.array, rtol=1e-3, atol=1e-4 * np.abs(alone.array).max())
        assert one.score == pytest.approx(alone.score, rel=1e-5)
    assert len(made) == len(images)


def test_of_several_methods_each_has_its_own() -> None:
    network = dreamopt.load_net(device="cpu")
    explained = Explained.of(network, photographs()[:2])
    first, second, third = (explained.attribute(method) for method in ("saliency", "saliency", "gradient"))
    for one, other, gradient in zip(first, second, third, strict=True):
        np.testing.assert_array_equal(one.array, other.array)
        np.testing.assert_allclose(one.array, np.abs(gradient.array).max(2))
        assert one.score == other.score == gradient.score


def test_in_tiles_nothing_is_kept() -> None:
    network = dreamopt.load_net(device="cpu").tiled(memory=10**9)
    explained = Explained.of(network, photographs()[:1])
    assert explained._made is None
    (found,) = explained.attribute("saliency")
    np.testing.assert_allclose(found.array, dreamopt.attribute(network.untiled(), photographs()[0]).array, rtol=1e-3, atol=1e-7)
