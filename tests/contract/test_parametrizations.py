"""What every parametrization holds, by existing: shapes, true gradients, starts, the way back, strings, item by item."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from _pytest.mark.structures import ParameterSet

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import ImageError, UsageError
from dreamopt.image import CPPN, Alpha, Fourier, Generator, Laplacian, Maco, Parametrization, Pixels, Shared
from dreamopt.image.parametrization import ImageSpace, parametrizations, parse_parametrization
from dreamopt.network import Network
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import streams
from dreamopt.problem import Problem
from tests.support.toy import toy_network


def generator(dtype: torch.dtype = torch.float64, channels: int = 3) -> Network:
    """Return a net from codes of 6 numbers to pictures of 12 by 9."""
    weights = torch.randn(6, channels * 12 * 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype) * 30

    def picture(code: torch.Tensor) -> torch.Tensor:
        return torch.cat([(one @ weights).tanh().mul(90).reshape(1, channels, 12, 9) for one in code.split(1)])

    return Network(FunctionBackend([("image", "Deconvolution", picture)], (6,), dtype=dtype))


# A new parametrization fails here until it has an entry.
EXAMPLES: dict[str, list[Parametrization]] = {
    "pixels": [Pixels(), Pixels(noise=8, centre=200), Pixels(noise=127.5, centre="grey", uniform=True)],
    "fourier": [
        Fourier(),
        Fourier(2, power=0.85, decorrelate="xplique", centre="grey", scaling="lucid"),
        Fourier(decorrelate="lucid", sigmoid=False, centre=(122.4, 117.3, 104.55)),
        Fourier(power=1.5, decorrelate=False, standardize=True, values=(-2.5, 2.5)),
    ],
    "laplacian": [Laplacian(), Laplacian((1,), noise=2), Laplacian((2, 1, 3), power=0.1, decorrelate=False, sigmoid=False)],
    "cppn": [CPPN(noise=20), CPPN(layers=2, width=5, noise=5, centre="grey")],
    "shared": [Shared(), Shared(Pixels(), factors=(2,), cells=2), Shared(Laplacian((1, 2)), (3, 5), noise=1)],
    "alpha": [Alpha(), Alpha(Pixels(), background=0, favour=0), Alpha(Shared(Fourier(noise=2)), Laplacian((2,)), smooth=0)],
    "maco": [Maco(), Maco(epsilon=1e-4, values=(-2.5, 2.5)), Maco(standardize=False, decorrelate=False, centre="mean")],
    "generator": [Generator(generator()), Generator(generator(channels=1), decay=0.5, upper=2.5, fit="resize", noise=0.5, mean=110)],
}
PAIRS = [(name, p) for name, examples in EXAMPLES.items() for p in examples]


def label(parametrization: Parametrization) -> str:
    return str(parametrization).split("<")[0]


ALL = [pytest.param(p, id=label(p)) for _, p in PAIRS]
ALONE = [pytest.param(p, id=label(p)) for _, p in PAIRS if not p.coupled]
BACK = [pytest.param(p, id=label(p)) for n, p in PAIRS if n not in ("cppn", "generator", "maco") and not getattr(p, "standardize", False)]


def image_space(channels: int = 3, height: int = 10, width: int = 15, dtype: torch.dtype = torch.float64, order: str = "BGR") -> ImageSpace:
    mean = torch.tensor([104.0, 117.0, 123.0, 30.0][:channels], dtype=dtype).reshape(-1, 1, 1)
    return ImageSpace((channels, height, width), -mean, 255 - mean, 1.0, torch.zeros((), dtype=dtype), order if channels >= 3 else "")


def fits(parametrization: Parametrization, channels: int) -> bool:
    if isinstance(parametrization, Generator):
        net = parametrization.net
        assert isinstance(net, Network)
        return channels in (1, 3) or net.shape_of("image")[0] == 1
    return channels == 3 or not isinstance(getattr(parametrization, "centre", None), tuple)


def on(examples: list[ParameterSet], shapes: list[tuple[int, int, int]]) -> list[ParameterSet]:
    """Return each example with each shape that it goes with: three colours want three channels."""
    pairs = [(one, shape) for one in examples for shape in shapes if fits(one.values[0], shape[0])]  # type: ignore[arg-type]
    return [pytest.param(one.values[0], shape, id=f"{one.id}-{'x'.join(map(str, shape))}") for one, shape in pairs]


def test_every_parametrization_has_an_example() -> None:
    assert sorted(EXAMPLES) == parametrizations.names()
    for plugin in parametrizations:
        assert all(type(one) is plugin.make for one in EXAMPLES[plugin.name])


@pytest.mark.parametrize(
    ("parametrization", "shape"), on(ALL, [(3, 10, 15), (1, 5, 7), (4, 7, 5), (2, 9, 4), (3, 1, 1), (1, 1, 6), (3, 13, 1)])
)
def test_any_number_of_channels_and_any_size(parametrization: Parametrization, shape: tuple[int, int, int]) -> None:
    space = image_space(*shape, dtype=torch.float32)
    start = parametrization.start(space, streams(0, [3, 8]))
    assert start.shape == (2, *parametrization.shape(space))
    assert start.dtype == torch.float32
    params = start.requires_grad_()
    image = parametrization.image(params, space)
    assert image.shape == (2, *shape)
    assert image.dtype == torch.float32
    assert torch.isfinite(image).all()
    (gradient,) = torch.autograd.grad(image.square().sum(), params)
    assert torch.isfinite(gradient).all()
    for end in parametrization.bounds(space):
        assert end is None or end.expand(start.shape).shape == start.shape
    settled = parametrization.project_params(start.detach(), space, StepContext())
    assert settled.shape == start.shape
    alpha = parametrization.alpha(params, space)
    if alpha is not None:
        assert alpha.shape == (2, 1, *shape[1:])
        assert parametrization.composite(image, alpha, streams(0, [3, 8]), space).shape == image.shape
        assert parametrization.score_with_opacity(torch.ones(2), alpha).shape == (2,)


@pytest.mark.parametrize("parametrization", ALL)
def test_the_start_is_drawn_for_each_item(parametrization: Parametrization) -> None:
    space = image_space()
    first, again = (parametrization.start(space, streams(5, [0, 1])) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, parametrization.start(space, streams(6, [0, 1])))
    if not parametrization.coupled:
        assert torch.equal(first[1:], parametrization.start(space, streams(5, [1])))


@pytest.mark.parametrize(("parametrization", "shape"), on(ALONE, [(1, 64, 81), (3, 5, 7), (3, 33, 47)]))
def test_an_item_alone_is_bit_for_bit_that_of_a_batch(parametrization: Parametrization, shape: tuple[int, int, int]) -> None:
    space, items = image_space(*shape, dtype=torch.float32), [4, 0, 7]

    def made(params: torch.Tensor, numbers: list[int]) -> list[torch.Tensor]:
        leaf = params.clone().requires_grad_()
        image, alpha = parametrization.image(leaf, space), parametrization.alpha(leaf, space)
        seen = image if alpha is None else parametrization.composite(image, alpha, streams(2, numbers, 5), space)
        score = torch.stack([one.sin().sum() for one in seen])
        score = score if alpha is None else parametrization.score_with_opacity(score, alpha)
        return [image.detach(), score.detach(), torch.autograd.grad(score.sum(), leaf)[0]]

    params = parametrization.start(space, streams(1, items))
    together = made(params, items)
    for i, item in enumerate(items):
        for whole, lone in zip(together, made(params[i : i + 1], [item]), strict=True):
            assert torch.equal(whole[i : i + 1], lone)


@pytest.mark.parametrize("parametrization", ALL)
def test_gradients_are_those_of_finite_differences(parametrization: Parametrization) -> None:
    space = image_space(3, 4, 5)
    start = parametrization.start(space, streams(2, range(2))).requires_grad_()
    # Along a random direction where there are many: a CPPN has ten thousand weights.
    many = start.numel() > 2000
    assert torch.autograd.gradcheck(lambda p: parametrization.image(p, space), (start,), atol=1e-4, fast_mode=many)
    if parametrization.alpha(start, space) is not None:

        def judged(params: torch.Tensor) -> torch.Tensor:
            image, alpha = parametrization.image(params, space), parametrization.alpha(params, space)
            assert alpha is not None
            return parametrization.composite(image, alpha, streams(2, range(2)), space)

        assert torch.autograd.gradcheck(judged, (start,), atol=1e-4)


@pytest.mark.parametrize(("parametrization", "shape"), on(BACK, [(3, 10, 15), (1, 11, 14), (4, 7, 9), (2, 8, 12), (3, 1, 1)]))
def test_an_image_becomes_parameters_and_comes_back(parametrization: Parametrization, shape: tuple[int, int, int]) -> None:
    space = image_space(*shape)
    assert space.low is not None
    random = torch.Generator().manual_seed(1)
    image = space.low + 255 * (torch.rand((2, *shape), generator=random, dtype=torch.float64) * 0.9 + 0.05)
    params = parametrization.params(image, space)
    assert params.shape == (2, *parametrization.shape(space))
    torch.testing.assert_close(parametrization.image(params, space), image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("parametrization", BACK)
def test_a_mended_image_leaves_the_rest_as_it_was(parametrization: Parametrization) -> None:
    space = image_space()
    params = parametrization.start(space, streams(0, range(3)))
    image = parametrization.image(params, space)
    mended = parametrization.update_from_image(params, 0.9 * image, space)
    torch.testing.assert_close(parametrization.image(mended, space), 0.9 * image, rtol=0, atol=1e-6)
    alpha = parametrization.alpha(params, space)
    if alpha is not None:
        assert torch.equal(parametrization.alpha(mended, space), alpha)
    shared = parametrization if isinstance(parametrization, Shared) else getattr(parametrization, "of", None)
    if isinstance(shared, Shared):
        own, end = (math.prod(part.shape(space)) for part in (shared.of, shared))
        assert torch.equal(mended[:, own:end], params[:, own:end])


@pytest.mark.parametrize("parametrization", [p for p in ALL if p not in BACK and getattr(p.values[0], "standardize", None) is not False])
def test_what_has_no_exact_way_back_says_so_or_is_a_shape(parametrization: Parametrization) -> None:
    image = torch.full((1, 3, 10, 15), 20.0, dtype=torch.float64)
    if isinstance(parametrization, Fourier):
        assert parametrization.params(image, image_space()).shape == (1, *parametrization.shape(image_space()))
        return
    with pytest.raises(UsageError, match="cannot start from an image, nor be mended"):
        parametrization.params(image, image_space())


@pytest.mark.parametrize("parametrization", [p for p in ALL if not isinstance(p.values[0], Generator | Pixels)])
def test_images_stay_between_black_and_white(parametrization: Parametrization) -> None:
    space = image_space(3, 6, 7)
    values = getattr(parametrization, "values", None)
    assert space.low is not None
    assert space.high is not None
    low, high = (space.low, space.high) if values is None else values
    wild = parametrization.start(space, streams(0, range(2)))
    wild = wild + 30 * torch.randn(wild.shape, dtype=wild.dtype, generator=torch.Generator().manual_seed(0))
    if isinstance(parametrization, Alpha | Shared):
        bounds = parametrization.bounds(space)
        wild = wild.clamp(*bounds) if bounds != (None, None) else wild
    image = parametrization.image(wild, space)
    assert (image >= low).all()
    assert (image <= high).all()


@pytest.mark.parametrize("parametrization", [p for p in ALL if not isinstance(p.values[0], Generator | CPPN)])
@pytest.mark.parametrize("scale", [1.0, 0.017])
def test_a_step_of_a_grey_level_is_about_a_grey_level(parametrization: Parametrization, scale: float) -> None:
    space = image_space(3, 32, 40)
    assert space.low is not None
    assert space.high is not None
    space = dataclasses.replace(space, low=space.low * scale, high=space.high * scale, grey_level=scale)
    start = parametrization.start(space, streams(0, range(4)))
    signs = torch.randn(start.shape, dtype=start.dtype, generator=torch.Generator().manual_seed(0)).sign()
    moved = parametrization.image(start + signs * parametrization.unit(space), space) - parametrization.image(start, space)
    if getattr(parametrization, "scaling", "unit") == "lucid":
        return  # its numbers are those published, whatever they move
    values = getattr(parametrization, "values", None)
    grey = scale if values is None else (values[1] - values[0]) / 255
    assert 0.2 < float(moved.square().mean().sqrt()) / grey < 5


@pytest.mark.parametrize("parametrization", ALL)
def test_printing_gives_the_string_that_makes_it(parametrization: Parametrization) -> None:
    if isinstance(parametrization, Generator):
        parametrization = dataclasses.replace(parametrization, net="generator.prototxt", weights="g.caffemodel")
    assert parse_parametrization(str(parametrization)) == parametrization
    with pytest.raises(dataclasses.FrozenInstanceError):
        parametrization.noise = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("parametrization", ALL)
def test_a_problem_climbs_it(parametrization: Parametrization) -> None:
    problem = Problem(toy_network(), "conv2:1", ["total_variation(1e-6)"], batch=2, parametrization=parametrization)
    params = problem.start(0)
    before = problem.evaluate(params)
    assert torch.isfinite(before.values).all()
    assert torch.isfinite(before.gradient).all()
    step = before.gradient / before.gradient.flatten(1).norm(dim=1).reshape(-1, *[1] * (params.dim() - 1))
    assert (problem.evaluate(params + step * problem.unit * 1e-2).values > before.values).all()


@pytest.mark.parametrize("parametrization", [p for p in ALL if not isinstance(p.values[0], Pixels)])
def test_vectors_are_refused(parametrization: Parametrization) -> None:
    with pytest.raises(ImageError, match=r"a vector of \(7,\); use Pixels"):
        parametrization.shape(ImageSpace((7,), None, None, 1.0, torch.zeros(())))


@pytest.mark.parametrize("make", [Pixels, Fourier, Laplacian])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_a_climb_starts_from_a_picture(make: Callable[..., Parametrization], order: str, tmp_path) -> None:
    from dreamopt.image.files import write_png

    picture = np.random.default_rng(0).integers(20, 230, (10, 15, 3), dtype=np.uint8)
    path = write_png(tmp_path / "photo.png", picture)
    space = image_space(order=order)
    assert space.low is not None
    planes = torch.from_numpy(picture.astype(np.float64)).movedim(2, 0)
    expected = space.low + (planes.flip(0) if order == "BGR" else planes)
    for init in (str(path), path, picture, expected, expected.expand(2, 3, 10, 15)):
        parametrization = make(init=init)
        torch.testing.assert_close(
            parametrization.image(parametrization.start(space, streams(0, [0, 1])), space), expected.expand(2, 3, 10, 15), rtol=0, atol=1e-6
        )
        shaken = make(init=init, noise=5)
        change = shaken.image(shaken.start(space, streams(0, [0, 1])), space) - expected
        assert 1 < float(change.std()) < 20
    assert parse_parametrization(str(make(init=path))) == make(init=str(path))
    assert make(init=picture) == make(init=picture.copy()) != make(init=picture + 1)
    assert "<image 10x15x3 " in str(make(init=picture))
    with pytest.raises(ImageError, match=r"\(3, 10, 15\) or \(1, 3, 10, 15\) is needed"):
        make(init=torch.zeros(3, 4, 5)).start(space, streams(0, [0]))
    with pytest.raises(ImageError, match="pictures have 3 channels; for 4 give"):
        make(init=str(path)).start(image_space(4), streams(0, [0]))
