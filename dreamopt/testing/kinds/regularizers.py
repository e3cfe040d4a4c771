"""Regularizers: shape, sample by sample, true gradients of penalties, none of projections, strings, vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dreamopt.errors import RegularizerError
from dreamopt.parts.schedule import StepContext
from dreamopt.regularizer import Penalty, Projection, Regularizer, parse_regularizer, regularizers
from dreamopt.testing.bench import Bench, step_context
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.gradients import require_gradient
from dreamopt.testing.kind import Kind, require, require_close, require_error

Both = Penalty | Projection


def acts_sample_by_sample(regularizer: Both, bench: Bench) -> None:
    """Require that a sample of a batch is, to the bit, that sample alone; the image stays as it was, and the same one gives the same."""
    image = bench.images()
    before, context = image.clone(), step_context(image)
    both = regularizer(image, context)
    require(both.dtype == image.dtype, f"an image of {image.dtype} gives {both.dtype}")
    for i in range(2):
        alone = regularizer(image[i : i + 1], step_context(image[i : i + 1], i))
        require_close(both[i : i + 1], alone, f"sample {i} alone and in the batch")
    require_close(both, regularizer(image, context), "the same image twice")
    require(torch.equal(image, before), "it changes the image that it is given")


def takes_any_size(regularizer: Both, bench: Bench) -> None:
    """Require that images of one row, column or pixel, of one to four channels, give finite numbers of the right shape."""
    for shape in ((1, 1, 1, 1), (2, 4, 1, 3), (3, 2, 6, 1)):
        image = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
        made = regularizer(image, step_context(image))
        require(torch.isfinite(made).all(), f"an image of shape {shape} gives numbers that are not finite")
        expected = shape[:1] if isinstance(regularizer, Penalty) else shape
        require(made.shape == expected and made.dtype == image.dtype, f"an image of shape {shape} gives {made.dtype} {tuple(made.shape)}")


def has_its_gradient(regularizer: Both, bench: Bench) -> None:
    """Require that a penalty's gradient is that of finite differences, or finite where the class says that it follows a rule instead."""
    if not isinstance(regularizer, Penalty):
        return
    image = bench.images().requires_grad_()
    context = step_context(image.detach())
    require(regularizer.gradient in ("derivative", "rule"), f"gradient is 'derivative' or 'rule', not {regularizer.gradient!r}")
    if regularizer.gradient == "derivative":
        require_gradient(lambda x: regularizer(x, context), [image])
    else:
        (gradient,) = torch.autograd.grad(regularizer(image, context).sum(), image)
        require(torch.isfinite(gradient).all() and gradient.any(), "the gradient is zero or not finite")


def is_zero_where_it_says(regularizer: Both, bench: Bench) -> None:
    """Require that an image of the mean colour costs nothing and has a gradient of zero, unless the class says otherwise."""
    if not isinstance(regularizer, Penalty):
        return
    image = torch.zeros(2, 3, 4, 5, requires_grad=True)
    value = regularizer(image, step_context(image.detach()))
    (gradient,) = torch.autograd.grad(value.sum(), image)
    if regularizer.zero_at_mean:
        require(not value.any(), f"an image of the mean colour costs {value.tolist()}; say zero_at_mean = False where it is meant")
        require(not gradient.any(), "an image of the mean colour has a gradient")
    require(torch.isfinite(gradient).all(), "the gradient at the mean colour is not finite")


def adds_and_scales(regularizer: Both, bench: Bench) -> None:
    """Require that penalties add and are multiplied by numbers, and their sums print and are read back."""
    if not isinstance(regularizer, Penalty):
        return
    image, other = bench.images(), parse_regularizer("l2(2)")
    context = step_context(image)
    assert isinstance(other, Penalty)
    own, others = regularizer(image, context), other(image, context)
    for made, expected in (
        (2 * regularizer + other, 2 * own + others),
        (regularizer - other, own - others),
        (sum([other, regularizer]), own + others),
    ):
        require(isinstance(made, Penalty), f"{made!r} is no penalty")
        require_close(made(image, context), expected, str(made), rtol=1e-7, atol=1e-7)  # type: ignore[operator]  # as just seen
    for combined in (2 * regularizer + other, -regularizer, 0.5 * (regularizer - other)):
        require(parse_regularizer(str(combined)) == combined, f"{combined} is read back as another")


def gives_no_gradient_after_a_step(regularizer: Both, bench: Bench) -> None:
    """Require that what a projection gives is not differentiated; where it is not due, the image stays as it is."""
    if not isinstance(regularizer, Projection):
        return
    image = bench.images().requires_grad_()
    context = step_context(image.detach())
    require(not regularizer(image, context).requires_grad, "what it gives has a gradient")
    if not regularizer.is_due(context):
        require_close(regularizer(image, context), image, "an image between two steps at which it is due")


def takes_vectors_or_refuses_them(regularizer: Both, bench: Bench) -> None:
    """Require that vectors (N, K) are taken sample by sample, or refused in a sentence."""
    vectors = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    gradient, start = torch.ones(2, 7), torch.zeros(2, 7)
    try:
        made = regularizer(vectors, StepContext(2, 8, gradient=gradient, start=start))
    except RegularizerError:
        words = "but the net's input has shape (2, 7)"
        require_error(lambda: regularizer(vectors, StepContext(2, 8, gradient=gradient, start=start)), RegularizerError, "vectors", words)
    else:
        alone = regularizer(vectors[1:], StepContext(2, 8, gradient=gradient[1:], start=start[1:]))
        require_close(made[1:], alone, "a vector alone and in the batch")


def has_examples_that_differ(part: type, made: Sequence[Regularizer], bench: Bench) -> None:
    """Require that no two of its examples are equal."""
    require(len(set(made)) == len(made), "two of its examples are equal")


KIND = Kind(
    "regularizers",
    regularizers,
    parse_regularizer,
    (
        is_immutable,
        prints_what_makes_it(parse_regularizer),
        refuses_numbers_that_are_none,
        acts_sample_by_sample,
        takes_any_size,
        has_its_gradient,
        is_zero_where_it_says,
        adds_and_scales,
        gives_no_gradient_after_a_step,
        takes_vectors_or_refuses_them,
    ),
    (has_examples_that_differ,),
)
