"""Several moves of an image in one native call: against torch's operators one by one, and to the bit whatever stands beside it."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from dreamopt import load_net
from dreamopt.engine.native import moves as native
from dreamopt.image.moves import Mapped, Move, Noised, Resampled, Roll, Window, moved
from dreamopt.image.moving import apply_transforms
from dreamopt.image.transform import Transform, parse_transforms
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream, streams
from dreamopt.problem import Problem
from dreamopt.testing.bench import image_space
from tests.support.native import needs_kernels

pytestmark = needs_kernels

LISTS = [
    ["jitter(8)", "rotate(between=(-6, 6))", "scale(between=(0.92, 1.08))", "noise(8)"],
    ["lucid"],
    ["rotate((-40, 55))", 'pad(3, "white")', "jitter(5)", "noise(4, 2)", 'translate(-9, 4, "black")', "affine(20, 0.2, (0.5, 1.9), 10)"],
    ["scale((0.4, 2.5), apart=True)", "rotate((0, 90, 180))", "crop_or_pad(9, 40)", "crop_jitter(0.2)", "noise(uniform=3)"],
    ['pad(2, "reflect")', "crop_jitter(5)", 'translate(-3, 4, "replicate")', "scale((0.7, 1.2), antialias=True)", "center_crop(12)"],
]


def any_moves(size: tuple[int, int], channels: int, draw: random.Random, rng: torch.Generator) -> tuple[list[Move], tuple[int, int]]:
    """Draw one to five moves, and noise half of the time."""

    def colour() -> Tensor:
        return torch.randn(channels, 1, 1, generator=rng, dtype=torch.float64)

    made: list[Move] = []
    for _ in range(draw.randint(1, 5)):
        h, w = size
        kind = draw.choice(["roll", "window", "inside", "map", "box"])
        if kind == "roll":
            made.append(Roll(draw.randint(-2 * h, 2 * h), draw.randint(-2 * w, 2 * w)))
        elif kind == "window":
            made.append(Window(draw.randint(-h, h), draw.randint(-w, w), draw.randint(1, 2 * h), draw.randint(1, 2 * w), colour()))
        elif kind == "inside":
            top, left = draw.randrange(h), draw.randrange(w)
            made.append(Window(top, left, draw.randint(1, h - top), draw.randint(1, w - left)))
        elif kind == "map":
            matrix = tuple((draw.uniform(-1.5, 1.5), draw.uniform(-1.5, 1.5)) for _ in range(2))
            made.append(Mapped(matrix, (draw.uniform(-h, h), draw.uniform(-w, w)), colour()))  # type: ignore[arg-type]  # two pairs
        else:
            box = (draw.uniform(-h, h), draw.uniform(-w, w), draw.uniform(0.1, 2 * h), draw.uniform(0.1, 2 * w))
            made.append(Resampled(box, (draw.randint(1, 30), draw.randint(1, 30)), colour(), False))
        size = made[-1].size(size)
    if draw.random() < 0.5:
        made.append(Noised(torch.randn(channels, *size, generator=rng, dtype=torch.float64), draw.uniform(0, 3)))
    return made, size


def as_float(move: Move) -> Move:
    for name, value in vars(move).items():
        if isinstance(value, Tensor):
            object.__setattr__(move, name, value.float())
    return move


@pytest.mark.parametrize("seed", range(60))
def test_chains_of_moves_are_those_of_torch_in_double_precision(seed: int) -> None:
    draw, rng = random.Random(seed), torch.Generator().manual_seed(seed)
    channels, size = draw.randint(1, 9), (draw.randint(1, 37), draw.randint(1, 37))
    wide = torch.randn(1, channels, *size, generator=rng, dtype=torch.float64).requires_grad_()
    image = wide.detach().float().requires_grad_()
    moves, (h, w) = any_moves(size, channels, draw, rng)
    expected, weights = moved(wide, [moves]), torch.randn(1, channels, h, w, generator=rng, dtype=torch.float64)
    (expected_gradient,) = torch.autograd.grad(expected, wide, weights)
    found = moved(image, [[as_float(move) for move in moves]])
    assert "Moved" in type(found.grad_fn).__name__, "it was not done by the kernels"
    (gradient,) = torch.autograd.grad(found, image, weights.float())
    torch.testing.assert_close(found.double(), expected, rtol=2e-4, atol=2e-4)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=2e-4, atol=1e-3)


def one_by_one(transforms: list[Transform], image: Tensor, items: list[Stream], context: StepContext) -> Tensor:
    for place, transform in enumerate(transforms):
        image = transform(image, [item.fold_in(place) for item in items], context)
    return image


def together(transforms: list[Transform], image: Tensor, items: list[Stream], context: StepContext) -> Tensor:
    return apply_transforms(transforms, image, lambda place: [item.fold_in(place) for item in items], context)


@pytest.mark.parametrize("shape", [(3, 3, 21, 34), (2, 3, 53, 47)])
@pytest.mark.parametrize("texts", LISTS)
def test_a_list_of_transforms_has_the_bits_of_one_after_the_other_and_of_each_item_alone(
    texts: list[str], shape: tuple[int, int, int, int]
) -> None:
    transforms = [one for text in texts for one in parse_transforms(text)]
    context = StepContext(1, 8, space=image_space(*shape[1:]))
    image = (40 * torch.randn(shape, generator=torch.Generator().manual_seed(7))).requires_grad_()
    for step in range(3):
        items = streams(5, range(2, 2 + shape[0]), step)
        whole, apart = together(transforms, image, items, context), one_by_one(transforms, image, items, context)
        torch.testing.assert_close(whole, apart, rtol=0, atol=2e-5)  # a product and a sum may be rounded once or twice
        weights = torch.randn(whole.shape, generator=torch.Generator().manual_seed(step))
        (gradient,) = torch.autograd.grad(whole, image, weights)
        torch.testing.assert_close(gradient, torch.autograd.grad(apart, image, weights)[0], rtol=0, atol=1e-5)
        for k in range(shape[0]):
            own = image[k : k + 1].detach().requires_grad_()
            alone = together(transforms, own, items[k : k + 1], context)
            assert torch.equal(alone, whole[k : k + 1])
            assert torch.equal(torch.autograd.grad(alone, own, weights[k : k + 1])[0], gradient[k : k + 1])


def test_the_default_transforms_are_one_call_and_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    done = native.moved
    monkeypatch.setattr(native, "moved", lambda images, chains: calls.append(chains) or done(images, chains))
    transforms = [one for text in LISTS[0] for one in parse_transforms(text)]
    image = torch.randn(1, 3, 61, 67, generator=torch.Generator().manual_seed(1), requires_grad=True)
    items, context, found, before = streams(5, [4], 3), StepContext(space=image_space(3, 61, 67)), [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            seen = together(transforms, image, items, context)
            found.append((seen, *torch.autograd.grad(seen.square().sum(), image)))
    finally:
        torch.set_num_threads(before)
    assert [len(chains[0].moves) for chains in calls] == [3, 3, 3]
    for seen, gradient in found[1:]:
        assert torch.equal(seen, found[0][0])
        assert torch.equal(gradient, found[0][1])


def test_a_map_that_reaches_too_far_is_torchs_work() -> None:
    assert native.affine((0, 1e8, 0, 0, 0, 1), (20, 20)) is None
    assert native.affine((0, 1, 0, float("nan"), 0, 1), (20, 20)) is None
    far, near = Mapped(((1.0, 0.0), (0.0, 1e9)), (0.0, 0.0), torch.ones(2, 1, 1)), Roll(1, 2)
    images = torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(3))
    both = moved(images, [[far], [near]])
    assert torch.equal(both[1], images[1].roll((1, 2), (1, 2)))
    torch.testing.assert_close(both[:1], moved(images[:1].double(), [[far]]).float())


def test_a_problem_moves_as_its_transforms_one_by_one() -> None:
    problem = Problem(load_net(), "conv2:3", transforms=LISTS[0], size=(45, 52), batch=2, views=2)
    image = problem.images(problem.start(3))
    context = StepContext(4, 9, space=problem.space, octave=1, octaves=2)
    seen = problem._transformed(image, context, 3)
    own = [stream.fold_in(1, view) for stream in problem.streams(3, 4) for view in range(2)]
    expected = image.repeat_interleave(2, 0)
    for place, transform in enumerate(problem.transforms):
        expected = transform(expected, [Stream(s.seed, s.item, s.step).fold_in(1, s.branch[1], place) for s in own], context)
    torch.testing.assert_close(seen, expected, rtol=0, atol=2e-5)
