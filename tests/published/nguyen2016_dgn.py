"""DGN-AM, Nguyen et al. 2016: the code of a generator net is searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamopt.recipes.preset import resolve_settings
from tests.support.published import nets
from tests.support.published.face import Array, Draws, Face, Seed, one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same


def nguyen2016_dgn(
    generator: Face,
    output: str,
    face: Face,
    layer: str,
    seed: Seed,
    code: Array,
    upper: Array | None,
    *,
    steps: int,
    first: float,
    last: float,
) -> Array:
    """``act_max.py``: the gradient is divided by its mean size at the image, and again at the code."""
    height, width = face.size
    decay = 0.99

    def picture() -> tuple[Array, tuple[slice, ...]]:
        made = generator.forward(code, output)[0]
        top, left = (made.shape[1] - height) // 2, (made.shape[2] - width) // 2
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        return made, window

    for i in range(steps):
        rate = first + (last - first) * i / steps
        made, window = picture()
        g = face.gradient(made[window], layer, seed)
        diff = np.zeros_like(made)
        diff[window] = rate / np.abs(g).mean() * g
        g = generator.backward(output, diff[None])
        code = code + rate / np.abs(g).mean() * g
        if upper is not None:
            code = np.clip(code, 0, upper)
        code = code * decay
    made, window = picture()
    return made[window]


def test_nguyen2016_dgn(classifier: NetAndFace, folder: Path) -> None:
    network, face = classifier
    prototxt, weights = nets.written(folder, "generator", nets.GENERATOR, 1.0)
    upper = np.random.default_rng(3).uniform(0.5, 3, 12)
    (folder / "upper.txt").write_text("\n".join(repr(float(value)) for value in upper))
    said = [f"generator.net={prototxt}", f"generator.weights={weights}", f"generator.upper={folder / 'upper.txt'}"]
    image = preset_image(
        network, f"{TOP}:2", resolve_settings("nguyen2016-dgn", {"steps": 20}, [*said, "optimizer.step_size=Linear(0.8, 1e-10)"])
    )
    code = Draws().start("generator", (12,))
    published = nguyen2016_dgn(Face(prototxt, weights), "deconv0", face, TOP, one_hot(2), code, upper, steps=20, first=0.8, last=1e-10)
    require_same(image, published)
