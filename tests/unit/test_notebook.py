"""What a notebook shows of results: one line, an image, HTML in which nothing that a file says is markup; the growing image."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import dreamopt
from dreamopt.errors import UsageError
from dreamopt.image.inline import MOST, card, png_bytes
from dreamopt.network import Network
from dreamopt.notebook import Live, in_kernel
from dreamopt.optimize import Adam, run
from dreamopt.testing import toy_network

HOSTILE = '<script>alert("x")</script>\' onerror='


@pytest.fixture(scope="module")
def network() -> Network:
    return toy_network()


def pixels(content: bytes | None) -> np.ndarray:
    assert content is not None
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_card_is_markup_of_its_own_alone() -> None:
    made = card(HOSTILE, {HOSTILE: HOSTILE, "nothing": None}, [(np.zeros((5, 7, 3), np.uint8), HOSTILE)])
    assert "<script" not in made
    assert "nothing" not in made
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,)', made)
    assert re.sub(r"<[^>]*>", "", made).count("&lt;script&gt;") == 4  # title, name, value, caption


def test_images_are_few_and_small() -> None:
    images = [(np.zeros((9, 2000, 3), np.uint8), str(i)) for i in range(MOST + 3)]
    made = card("many", {}, images)
    assert made.count("<img") == MOST
    assert "and 3 more" in made
    assert pixels(png_bytes(images[0][0], 100)).shape == (1, 100, 3)


def test_a_problem_and_a_result_show_themselves(network: Network) -> None:
    problem = dreamopt.Problem(network, ["conv2:3", "relu2:1"])
    assert "\n" not in repr(problem)
    assert "conv2:3" in repr(problem)
    assert "relu2:1" in problem._repr_html_()
    result = run(problem, Adam(), steps=2)
    assert "\n" not in repr(result)
    assert "2 steps" in repr(result)
    assert len(repr(result)) < 300
    np.testing.assert_array_equal(pixels(result._repr_png_()), np.concatenate(list(result.rgb()), axis=1))
    assert result._repr_html_().count("<img") == 2


def test_a_rendered_image_shows_itself(network: Network) -> None:
    [one] = dreamopt.render(network, "conv2:3", steps=1, size=(11, 13))
    assert re.fullmatch(r"<Rendered conv2:3: 13 x 11, value -?[\d.e-]+>", repr(one))
    np.testing.assert_array_equal(pixels(one._repr_png_()), one.image)
    named = replace(one, sample=replace(one.sample, label=HOSTILE), image=one.image.astype(np.uint16) * 257)
    assert "<script" not in named._repr_html_()
    np.testing.assert_array_equal(pixels(named._repr_png_()), one.image)


def test_an_attribution_shows_itself(network: Network) -> None:
    image = np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)
    found = replace(dreamopt.attribute(network, image, "fc:2", method="gradient"), label=HOSTILE)
    assert pixels(found._repr_png_()).shape == (11, 3 * 13 + 8, 3)
    assert "<script" not in found._repr_html_()
    assert found._repr_html_().count("<img") == 1


def test_a_network_shows_its_classes_escaped(network: Network) -> None:
    shown = Network(network.backend, network.preprocessing, [HOSTILE, "b"])._repr_html_()
    assert "<script" not in shown
    assert "2: &lt;script" in shown
    assert network.backend.name in shown


def test_live_does_nothing_outside_a_kernel(network: Network) -> None:
    assert not in_kernel()
    [one] = dreamopt.render(network, "conv2:3", steps=2, size=(11, 13), callbacks=[Live(every=0)])
    assert one.image.shape == (11, 13, 3)


def test_live_updates_one_place(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)

    def display(what: str, display_id: bool) -> SimpleNamespace:
        assert display_id
        assert not shown
        shown.append(what)
        return handle

    library, inner = ModuleType("IPython"), ModuleType("IPython.display")
    library.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    inner.HTML, inner.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", library)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    dreamopt.render(network, "conv2:3", steps=3, size=(11, 13), callbacks=[Live(every=0)])
    assert ["1 of 3" in shown[0], "2 of 3" in shown[1], "3 of 3" in shown[2]] == [True] * 3
    shown.clear()
    dreamopt.render(network, "conv2:3", steps=3, size=(11, 13), callbacks=[Live(every=3600)])
    assert len(shown) == 2  # the first and the last
    assert all("data:image/png" in one for one in shown)


def test_live_refuses_a_time_that_is_none() -> None:
    with pytest.raises(UsageError, match="every"):
        Live(every=-1)
