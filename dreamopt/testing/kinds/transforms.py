"""Transforms: sample by sample, a size that depends on the size alone, draws of their own, true gradients, strings, any shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dreamopt.errors import UsageError
from dreamopt.image.transform import Transform, transforms
from dreamopt.parts.calls import parse_part
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream, streams
from dreamopt.testing.bench import Bench, image_space
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.gradients import require_gradient
from dreamopt.testing.kind import Kind, require, require_close, require_error

SHAPE = 2, 3, 5, 8


def parse_transform(text: str) -> Transform:
    """Return the one transform that a string names."""
    return parse_part(text, transforms)


def _images(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return 20 * torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)


def _context() -> StepContext:
    return StepContext(step=2, steps=8, space=image_space(*SHAPE[1:], scale=0.5))


def _streams(step: int = 2) -> list[Stream]:
    return streams(5, range(3, 3 + SHAPE[0]), step)


def acts_sample_by_sample(transform: Transform, bench: Bench) -> None:
    """Require that a sample of a batch is, to the bit, that sample alone, in single and double precision; the image stays as it was."""
    for dtype in (torch.float32, torch.float64):
        image = _images(dtype)
        both, before = transform(image, _streams(), _context()), image.clone()
        require(both.dtype == dtype, f"an image of {dtype} gives {both.dtype}")
        for i in range(SHAPE[0]):
            alone = transform(image[i : i + 1], _streams()[i : i + 1], _context())
            require_close(both[i : i + 1], alone, f"sample {i} alone and in the batch")
        require_close(both, transform(image, _streams(), _context()), "the same image with the same streams twice")
        require(torch.equal(image, before), "it changes the image that it is given")


def gives_one_size(transform: Transform, bench: Bench) -> None:
    """Require that the size of what it gives depends on the image's size alone, whatever is drawn at whatever step."""
    image = _images()
    cases = [(seed, step, scale) for seed in range(4) for step in (0, 7) for scale in (0, 1)]
    sizes = {transform(scale * image, streams(seed, range(SHAPE[0]), step), _context()).shape for seed, step, scale in cases}
    require(len(sizes) == 1, f"images of one size become images of sizes {sorted(map(tuple, sizes))}")


def has_its_gradient(transform: Transform, bench: Bench) -> None:
    """Require that the gradient is that of finite differences, or finite where the class says that it follows a rule instead."""
    image = _images().requires_grad_()
    require(transform.gradient in ("derivative", "rule"), f"gradient is 'derivative' or 'rule', not {transform.gradient!r}")
    if transform.gradient == "derivative":
        require_gradient(lambda x: transform(x, _streams(), _context()), [image])
    else:
        (gradient,) = torch.autograd.grad(transform(image, _streams(), _context()).sum(), image)
        require(torch.isfinite(gradient).all() and gradient.any(), "the gradient is zero or not finite")


def takes_any_size(transform: Transform, bench: Bench) -> None:
    """Require that images of one row, column or pixel, of one to five channels, give finite images."""
    shapes: tuple[tuple[int, int, int, int], ...] = ((1, 1, 1, 1), (2, 4, 1, 3), (3, 2, 6, 1), (1, 5, 2, 7))
    for shape in shapes:
        if isinstance(getattr(transform, "fill", None), tuple) and shape[1] != 3:
            continue  # three colours want three channels
        image = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))
        made = transform(image, streams(0, range(shape[0])), StepContext(space=image_space(*shape[1:], scale=0.5)))
        require(torch.isfinite(made).all(), f"an image of shape {shape} gives numbers that are not finite")
        require(made.shape[:2] == shape[:2] and min(made.shape[2:]) >= 1, f"an image of shape {shape} gives {tuple(made.shape)}")


def refuses_vectors(transform: Transform, bench: Bench) -> None:
    """Require that vectors (N, K) are refused in a sentence."""
    words = "(N, C, H, W), but the net's input has shape (2, 7)"
    require_error(lambda: transform(torch.zeros(2, 7), _streams(), StepContext()), UsageError, "vectors", words)


def draws_where_it_says(part: type[Transform], made: Sequence[Transform], bench: Bench) -> None:
    """Require that ``random`` says whether the first example draws: by sample, by step, and by its place in a list."""
    transform, image = made[0], _images()[:1]
    drawn = {
        "samples": transform(image.expand(12, -1, -1, -1), streams(5, range(12)), _context()),
        "steps": torch.cat([transform(image, streams(5, [0], step), _context()) for step in range(12)]),
        "places in a list": torch.cat([transform(image, [Stream(5, 0).fold_in(place)], _context()) for place in range(12)]),
    }
    for over, images in drawn.items():
        differ = bool((images != images[:1]).any())
        require(differ == part.random, f"over 12 {over} the images {'differ' if differ else 'are the same'}, but random is {part.random}")


def has_one_that_changes_nothing(part: type[Transform], made: Sequence[Transform], bench: Bench) -> None:
    """Require that ``identity`` is a string that makes one that leaves images as they are, to the bit."""
    if part.identity is None:
        return
    transform = parse_transform(part.identity)
    require(type(transform) is part, f"identity makes {type(transform).__name__}")
    for context in (_context(), StepContext()):
        require_close(transform(_images(), _streams(), context), _images(), f"an image and what {part.identity} makes of it")


KIND = Kind(
    "transforms",
    transforms,
    parse_transform,
    (
        is_immutable,
        prints_what_makes_it(parse_transform),
        refuses_numbers_that_are_none,
        acts_sample_by_sample,
        gives_one_size,
        has_its_gradient,
        takes_any_size,
        refuses_vectors,
    ),
    (draws_where_it_says, has_one_that_changes_nothing),
)
