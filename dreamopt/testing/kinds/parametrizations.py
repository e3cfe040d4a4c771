"""Parametrizations: shapes, true gradients, starts, inverses, ranges, units, sample by sample, any number of channels and any size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.parametrization import Parametrization, parametrizations, parse_parametrization
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import streams
from dreamopt.problem import Problem
from dreamopt.testing.bench import Bench, image_space
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.gradients import require_gradient
from dreamopt.testing.kind import Kind, require, require_close, require_error

Shape3 = tuple[int, int, int]


def _spaces(parametrization: Parametrization, shapes: tuple[Shape3, ...], dtype: torch.dtype) -> Iterator[ImageSpace]:
    """Yield the image spaces of these shapes that it can make images of."""
    for shape in shapes:
        space = image_space(*shape, dtype=dtype)
        if parametrization.fits(space):
            yield space


def makes_images_of_any_size(parametrization: Parametrization, bench: Bench) -> None:
    """Require that images of any size and number of channels that it fits have their shape, type and a finite gradient."""
    shapes = ((3, 10, 15), (1, 5, 7), (4, 7, 5), (2, 9, 4), (3, 1, 1), (1, 1, 6), (3, 13, 1))
    for space in _spaces(parametrization, shapes, torch.float32):
        start = parametrization.start(space, streams(0, [3, 8]))
        require(start.shape == (2, *parametrization.shape(space)), f"start gives {tuple(start.shape)} for {space.shape}")
        require(start.dtype == torch.float32, f"start gives {start.dtype} for a net of float32")
        params = start.requires_grad_()
        image = parametrization.image(params, space)
        require(image.shape == (2, *space.shape), f"image gives {tuple(image.shape)} for {space.shape}")
        require(image.dtype == torch.float32 and torch.isfinite(image).all(), f"image gives {image.dtype}, or numbers that are not finite")
        (gradient,) = torch.autograd.grad(image.square().sum(), params)
        require(torch.isfinite(gradient).all(), f"the gradient for {space.shape} is not finite")
        for end in parametrization.bounds(space):
            require(end is None or end.expand(start.shape).shape == start.shape, "bounds do not fit the parameters")
        projected = parametrization.project_params(start.detach(), space, StepContext())
        require(projected.shape == start.shape, f"project_params gives {tuple(projected.shape)} of {tuple(start.shape)}")
        alpha = parametrization.alpha(params, space)
        if alpha is not None:
            require(alpha.shape == (2, 1, *space.shape[1:]), f"alpha gives {tuple(alpha.shape)} for {space.shape}")
            require(parametrization.composite(image, alpha, streams(0, [3, 8]), space).shape == image.shape, "composite changes the shape")
            require(parametrization.score_with_opacity(torch.ones(2), alpha).shape == (2,), "score_with_opacity changes the shape")


def starts_by_sample(parametrization: Parametrization, bench: Bench) -> None:
    """Require that starts are drawn for each sample, the same for the same seed, and for a sample alone unless ``coupled``."""
    space = image_space()
    first = parametrization.start(space, streams(5, [0, 1]))
    require_close(first, parametrization.start(space, streams(5, [0, 1])), "the same start twice")
    require(not torch.equal(first[0], first[1]), "two samples start from the same parameters")
    require(not torch.equal(first, parametrization.start(space, streams(6, [0, 1]))), "two seeds start from the same parameters")
    if not parametrization.coupled:
        require_close(first[1:], parametrization.start(space, streams(5, [1])), "the start of a sample alone and in the batch")


def acts_sample_by_sample(parametrization: Parametrization, bench: Bench) -> None:
    """Require that image, opacity, score and gradient of a sample are, to the bit, those of it alone, unless ``coupled``."""
    if parametrization.coupled:
        return
    items = [4, 0, 7]
    for space in _spaces(parametrization, ((1, 64, 81), (3, 5, 7), (3, 33, 47)), torch.float32):

        def results(params: Tensor, numbers: list[int], space: ImageSpace = space) -> list[Tensor]:
            leaf = params.clone().requires_grad_()
            image, alpha = parametrization.image(leaf, space), parametrization.alpha(leaf, space)
            seen = image if alpha is None else parametrization.composite(image, alpha, streams(2, numbers, 5), space)
            score = torch.stack([sample.sin().sum() for sample in seen])
            score = score if alpha is None else parametrization.score_with_opacity(score, alpha)
            return [image.detach(), score.detach(), torch.autograd.grad(score.sum(), leaf)[0]]

        params = parametrization.start(space, streams(1, items))
        together = results(params, items)
        for i, item in enumerate(items):
            for whole, alone in zip(together, results(params[i : i + 1], [item]), strict=True):
                require_close(whole[i : i + 1], alone, f"sample {i} alone and in the batch, for {space.shape}")


def has_its_gradient(parametrization: Parametrization, bench: Bench) -> None:
    """Require that the gradient of the image, and of the image over its background, is that of finite differences."""
    space = image_space(3, 4, 5)
    start = parametrization.start(space, streams(2, range(2)))
    require_gradient(lambda params: parametrization.image(params, space), [start])
    if parametrization.alpha(start, space) is not None:

        def over_background(params: Tensor) -> Tensor:
            image, alpha = parametrization.image(params, space), parametrization.alpha(params, space)
            assert alpha is not None
            return parametrization.composite(image, alpha, streams(2, range(2)), space)

        require_gradient(over_background, [start])


def inverts_where_it_says(parametrization: Parametrization, bench: Bench) -> None:
    """Require that an image comes back from its parameters where ``invertible``, also into parameters that stand already."""
    if not parametrization.invertible:
        return
    random = torch.Generator().manual_seed(1)
    for space in _spaces(parametrization, ((3, 10, 15), (1, 11, 14), (4, 7, 9), (2, 8, 12), (3, 1, 1)), torch.float64):
        assert space.low is not None
        image = space.low + 255 * (torch.rand((2, *space.shape), generator=random, dtype=torch.float64) * 0.9 + 0.05)
        params = parametrization.params(image, space)
        require(params.shape == (2, *parametrization.shape(space)), f"params gives {tuple(params.shape)} for {space.shape}")
        require_close(parametrization.image(params, space), image, f"an image {space.shape} and that of its parameters", atol=1e-6)
    space = image_space()
    params = parametrization.start(space, streams(0, range(3)))
    image = 0.9 * parametrization.image(params, space)
    updated = parametrization.update_from_image(params, image, space)
    require_close(parametrization.image(updated, space), image, "an image and that of parameters updated from it", atol=1e-6)
    alpha = parametrization.alpha(params, space)
    if alpha is not None:
        opacity = parametrization.alpha(updated, space)
        assert opacity is not None
        require_close(opacity, alpha, "the opacity before and after an update of the image")


def refuses_an_image_where_it_has_no_inverse(parametrization: Parametrization, bench: Bench) -> None:
    """Require that what is not ``invertible`` gives parameters of the right shape, or refuses an image in a sentence."""
    if parametrization.invertible:
        return
    space, image = image_space(), torch.full((1, 3, 10, 15), 20.0, dtype=torch.float64)
    try:
        params = parametrization.params(image, space)
    except UsageError:
        require_error(lambda: parametrization.params(image, space), UsageError, "an image", "cannot start from an image")
    else:
        require(params.shape == (1, *parametrization.shape(space)), f"params gives {tuple(params.shape)}")


def stays_within_range(parametrization: Parametrization, bench: Bench) -> None:
    """Require that images lie between black and white, whatever the parameters, where ``within_range``."""
    if not parametrization.within_range:
        return
    space = image_space(3, 6, 7)
    assert space.low is not None
    assert space.high is not None
    values = getattr(parametrization, "values", None)
    low, high = (space.low, space.high) if values is None else (torch.tensor(values[0]), torch.tensor(values[1]))
    wild = parametrization.start(space, streams(0, range(2)))
    wild = wild + 30 * torch.randn(wild.shape, dtype=wild.dtype, generator=torch.Generator().manual_seed(0))
    bounds = parametrization.bounds(space)
    wild = wild.clamp(*bounds) if bounds != (None, None) else wild
    image = parametrization.image(wild, space)
    require((image >= low).all() and (image <= high).all(), f"values from {image.min()} to {image.max()} lie beyond black and white")


def counts_grey_levels(parametrization: Parametrization, bench: Bench) -> None:
    """Require that a step of ``unit`` in all parameters moves pixels by about a grey level, at any scale of the input."""
    if not parametrization.counts_grey_levels:
        return
    for scale in (1.0, 0.017):
        space = image_space(3, 32, 40)
        assert space.low is not None
        assert space.high is not None
        space = dataclasses.replace(space, low=space.low * scale, high=space.high * scale, grey_level=scale)
        start = parametrization.start(space, streams(0, range(4)))
        signs = torch.randn(start.shape, dtype=start.dtype, generator=torch.Generator().manual_seed(0)).sign()
        moved = parametrization.image(start + signs * parametrization.unit(space), space) - parametrization.image(start, space)
        values = getattr(parametrization, "values", None)
        grey = scale if values is None else (values[1] - values[0]) / 255
        levels = math.sqrt(float(moved.square().mean())) / grey
        require(0.2 < levels < 5, f"a step of a grey level moves pixels by {levels:g} grey levels")


def goes_uphill_in_a_problem(parametrization: Parametrization, bench: Bench) -> None:
    """Require that a small step along a problem's gradient raises every sample's value."""
    problem = Problem(bench.network, "conv2:1", ["total_variation(1e-6)"], batch=2, parametrization=parametrization)
    params = problem.start(0)
    before = problem.evaluate(params)
    require(torch.isfinite(before.values).all() and torch.isfinite(before.gradient).all(), "the value or the gradient is not finite")
    step = before.gradient / before.gradient.flatten(1).norm(dim=1).reshape(-1, *[1] * (params.dim() - 1))
    after = problem.evaluate(params + step * problem.unit * 1e-2)
    require((after.values > before.values).all(), f"a small step along the gradient goes from {before.values} to {after.values}")


def refuses_vectors(parametrization: Parametrization, bench: Bench) -> None:
    """Require that a net whose input is a vector is refused in a sentence, unless ``takes_vectors``."""
    space = ImageSpace((7,), None, None, 1.0, torch.zeros(()))
    if parametrization.takes_vectors:
        require(parametrization.shape(space) == (7,), f"for vectors of 7 numbers shape gives {parametrization.shape(space)}")
    else:
        require_error(lambda: parametrization.shape(space), ImageError, "a vector", "(7,) and no grey levels; use Pixels")


KIND = Kind(
    "parametrizations",
    parametrizations,
    parse_parametrization,
    (
        is_immutable,
        prints_what_makes_it(parse_parametrization),
        refuses_numbers_that_are_none,
        makes_images_of_any_size,
        starts_by_sample,
        acts_sample_by_sample,
        has_its_gradient,
        inverts_where_it_says,
        refuses_an_image_where_it_has_no_inverse,
        stays_within_range,
        counts_grey_levels,
        goes_uphill_in_a_problem,
        refuses_vectors,
    ),
)
