"""The generator: its files, its space, its code's bounds and decay, against plain numpy."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import DreamoptWarning, ImageError, UsageError
from dreamopt.image import Generator
from dreamopt.image import nets as image_nets
from dreamopt.image.parametrization import ImageSpace, parse_parametrization
from dreamopt.network import Network, load_net
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import streams
from dreamopt.problem import Problem
from dreamopt.testing.bench import image_space as any_image_space

PROTOTXT = """
input: "feat" input_shape { dim: 1 dim: 5 }
layer { name: "fc" type: "InnerProduct" bottom: "feat" top: "fc"
  inner_product_param { num_output: 24 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" relu_param { negative_slope: 0.3 } }
layer { name: "shape" type: "Reshape" bottom: "fc" top: "shape" reshape_param { shape { dim: 0 dim: 4 dim: 2 dim: 3 } } }
layer { name: "up" type: "Deconvolution" bottom: "shape" top: "up"
  convolution_param { num_output: 3 pad: 1 kernel_size: 4 stride: 2 weight_filler { type: "gaussian" std: 30 } } }
"""


image_space = partial(any_image_space, height=4, width=6, mean=(100.0, 110.0, 120.0))


def fixed(picture: np.ndarray) -> Network:
    """Return a net that makes one picture (C, H, W), times the code's only number."""
    values = torch.from_numpy(picture)
    layer = ("image", "Deconvolution", lambda code: code.reshape(-1, 1, 1, 1) * values)
    return Network(FunctionBackend([layer], (1,), dtype=torch.float64))


def made(generator: Generator, space: ImageSpace) -> np.ndarray:
    """Return the grey levels (C, H, W) that the code 1 gives."""
    assert space.low is not None
    return (generator.image(torch.ones(1, 1, dtype=torch.float64), space)[0] - space.low).numpy()


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_the_image_goes_from_the_generators_space_into_the_nets(order: str) -> None:
    picture = np.random.default_rng(0).normal(0, 60, (3, 4, 6))
    grey = picture / 0.5 + np.array([104.0, 117.0, 123.0])[:, None, None]
    generator = Generator(fixed(picture), scale=0.5)
    np.testing.assert_allclose(made(generator, image_space(order=order)), grey if order == "BGR" else grey[::-1], rtol=1e-12)
    luminance = 0.114 * grey[0] + 0.587 * grey[1] + 0.299 * grey[2]
    np.testing.assert_allclose(made(generator, image_space(1)), luminance[None], rtol=1e-12)
    single = Generator(fixed(picture[:1]), mean=128.0)
    np.testing.assert_allclose(made(single, image_space(order=order)), np.repeat(picture[:1] + 128, 3, 0), rtol=1e-12)


def test_a_larger_image_is_cut_to_its_middle_or_made_smaller() -> None:
    picture = np.random.default_rng(0).normal(0, 60, (3, 8, 12))
    np.testing.assert_allclose(made(Generator(fixed(picture), mean=0.0), image_space()), picture[:, 2:6, 3:9], rtol=1e-12)
    # The published 256 to 227 leaves 14 pixels above and 15 below.
    tall = np.random.default_rng(0).normal(0, 60, (3, 7, 6))
    np.testing.assert_allclose(made(Generator(fixed(tall), mean=0.0), image_space()), tall[:, 1:5], rtol=1e-12)
    smaller = made(Generator(fixed(picture), mean=0.0, fit="resize"), image_space())
    assert smaller.shape == (3, 4, 6)
    np.testing.assert_allclose(smaller.mean(), picture.mean(), atol=3)
    even = np.full((3, 3, 3), 7.0)
    np.testing.assert_allclose(made(Generator(fixed(even), mean=1.0), image_space()), np.full((3, 4, 6), 8.0), rtol=1e-12)


def test_the_code_is_clipped_and_then_decayed(tmp_path: Path) -> None:
    net = fixed(np.zeros((3, 4, 6)))
    code = torch.tensor([[-2.0], [0.5], [9.0]], dtype=torch.float64)
    settled = Generator(net, upper=3.0).project_params(code, image_space(), StepContext())
    torch.testing.assert_close(settled, torch.tensor([[0.0], [0.495], [2.97]], dtype=torch.float64))
    torch.testing.assert_close(Generator(net, decay=0.5).project_params(code, image_space(), StepContext()), code / 2)
    wide = Network(FunctionBackend([("image", "Deconvolution", lambda c: c.reshape(-1, 3, 1, 1))], (3,), dtype=torch.float64))
    ranges = tmp_path / "fc6.txt"
    ranges.write_text("1.5\n2.5\n0.25\n")
    generator = Generator(wide, upper=str(ranges))
    low, high = generator.bounds(image_space())
    assert low is not None
    assert high is not None
    assert low.tolist() == [0, 0, 0]
    assert high.tolist() == [1.5, 2.5, 0.25]
    assert Generator(wide).bounds(image_space()) == (None, None)
    ranges.write_text("1 2")
    with pytest.raises(UsageError, match="upper of Generator has 2 numbers, but the code has 3"):
        Generator(wide, upper=str(ranges)).bounds(image_space())


def test_it_is_loaded_by_its_files_and_optimized(tmp_path: Path) -> None:
    path = tmp_path / "up.prototxt"
    path.write_text(PROTOTXT)
    with pytest.warns(DreamoptWarning, match="random"):
        made_by = load_net(path)
    weights = tmp_path / "up.caffemodel"
    made_by.backend.net.save(str(weights))  # type: ignore[attr-defined]  # the engine's
    text = f'generator("{path}", "{weights}", upper=4.0, mean=110)'
    problem = Problem(load_net(), "scores:stars", size=(24, 40), batch=2, parametrization=text)
    generator = problem.parametrization
    assert parse_parametrization(str(generator)) == generator
    assert problem.shape == (2, 5)
    code = problem.start(0)
    np.testing.assert_allclose(Generator(str(path), str(weights), noise=0).start(problem.space, streams(0, [0])), 0)
    found = problem.evaluate(code)
    assert (found.gradient != 0).any(1).all()
    images, repeated = problem.images(code), problem.images(code[1:].repeat(2, 1))
    # A batch's matrix products may round otherwise than another's: single precision, relative to the largest value.
    torch.testing.assert_close(images[1:], repeated[:1], rtol=0, atol=2e-6 * float(images.abs().max()))
    assert Generator(str(path), str(weights)).network(problem.space) is Generator(path, weights).network(problem.space)  # type: ignore[arg-type]


def test_a_run_starts_from_a_code(tmp_path: Path) -> None:
    wide = Network(FunctionBackend([("image", "Deconvolution", lambda c: c.reshape(-1, 3, 1, 1))], (3,), dtype=torch.float64))
    code = np.array([1.0, -2.0, 3.0])
    np.save(tmp_path / "code.npy", code)
    for init in (code, torch.from_numpy(code), str(tmp_path / "code.npy")):
        np.testing.assert_array_equal(Generator(wide, init=init).start(image_space(), streams(0, [0, 1])), [code, code])
    assert not np.allclose(Generator(wide, init=code, noise=1).start(image_space(), streams(0, [0]))[0], code)
    for init, message in (("photo.jpg", "no code can be read off an image"), (np.zeros(4), r"shape \(4,\), but \(3,\) or \(1, 3\)")):
        with pytest.raises(UsageError, match=message):
            Generator(wide, init=init).start(image_space(), streams(0, [0]))
    with pytest.raises(ImageError, match="cannot be read"):
        Generator(wide, init="gone.npy").start(image_space(), streams(0, [0]))


def test_what_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two = Generator(fixed(np.zeros((2, 4, 6))), mean=0.0)
    with pytest.raises(UsageError, match=r"gives \(2, 4, 6\), which is no picture"):
        made(two, image_space())
    with pytest.raises(UsageError, match="mean of Generator has 3 numbers, but its images have 1 channels"):
        made(Generator(fixed(np.zeros((1, 4, 6)))), image_space())
    four = ImageSpace((4, 4, 6), torch.zeros(4, 1, 1), torch.full((4, 1, 1), 255.0), 1.0, torch.zeros((), dtype=torch.float64))
    with pytest.raises(UsageError, match="makes 3 channels, but the net sees 4"):
        made(Generator(fixed(np.zeros((3, 4, 6)))), four)
    monkeypatch.setattr(image_nets, "_loaders", [])
    monkeypatch.setattr(image_nets, "_loaded", {})
    with pytest.raises(
        UsageError, match=r"no net loader is registered: import dreamopt.network first, or pass a loaded net instead of 'g.prototxt'"
    ):
        Generator("g.prototxt").shape(image_space())
    for make, message in (
        (lambda: Generator("g", decay=1.5), "decay of Generator must be from 0 to 1, not 1.5"),
        (lambda: Generator("g", noise=-1), "noise of Generator must be at least 0"),
        (lambda: Generator("g", upper=-1.0), "must be above lower, which is 0.0, in every unit; it goes down to -1"),
        (lambda: Generator("g", upper=str(tmp_path / "gone.txt")), "upper of Generator: the file '.*' cannot be read: No such file"),
        (lambda: Generator("g", scale=0), "scale of Generator must be other than 0"),
        (lambda: Generator("g", order="GRB"), "order of Generator must be BGR or RGB, not 'GRB'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=message):
            make()
