"""The native kernels of colours beside torch's operators in float64."""

import pytest
import torch

from dreamopt.engine.native import colours
from tests.support.native import needs_kernels

pytestmark = needs_kernels

MIX = torch.tensor([[0.9, 0.3, 0.1], [1.0, 0.0, -0.2], [0.8, -0.3, 0.15]], dtype=torch.float64)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def ends(channels: int, *size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low = -100 - 20 * torch.rand(channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return low, low + 255, 0.3 * normal(channels, *size)


@pytest.mark.parametrize("mixes", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (5, 7), (49, 61)])
@pytest.mark.parametrize("each", [True, False])
def test_all_three_ways_are_torchs(mixes, size, each, kind):
    channels = 3 if mixes else 2
    low, high, middle = ends(channels, *(size if each else (1, 1)))
    mix = MIX if mixes else torch.eye(channels, dtype=torch.float64)
    plane, gradient = 3 * normal(4, channels, *size), normal(4, channels, *size)
    leaf = plane.clone().requires_grad_()
    expected_part = torch.sigmoid(torch.einsum("oc,nchw->nohw", mix, leaf) + middle)
    expected = low + (high - low) * expected_part
    (expected_gradient,) = torch.autograd.grad(expected, leaf, gradient)

    within = colours.range_of(low.float(), high.float(), middle.float())
    native_mix = mix.float() if mixes else None
    image, part = colours.coloured(plane.float(), native_mix, within, with_part=True)
    assert part is not None
    torch.testing.assert_close(part, expected_part.detach().float(), rtol=3e-6, atol=1e-7)
    torch.testing.assert_close(image, expected.detach().float(), rtol=2e-6, atol=1e-4)
    assert torch.equal(colours.coloured(plane.float(), native_mix, within, with_part=False)[0], image)
    native_gradient = colours.colour_gradient(gradient.float(), part, native_mix, within)
    torch.testing.assert_close(native_gradient, expected_gradient.float(), rtol=1e-5, atol=1e-4)  # of 255: 1 - part is rounded
    inverse = torch.linalg.inv(mix)
    drawn_in = torch.logit((expected.detach() - low) / (high - low), eps=1e-3) - middle
    expected_plane = torch.einsum("oc,nchw->nohw", inverse, drawn_in)
    back, _ = colours.uncoloured(expected.detach().float(), inverse.float() if mixes else None, within, 1e-3)
    torch.testing.assert_close(back, expected_plane.float(), rtol=1e-4, atol=5e-4 if mixes else 1e-4)
    # Samples come out as they would alone, and what lies apart as what lies together.
    last = plane.float().transpose(2, 3).contiguous().transpose(2, 3)[3:]
    assert torch.equal(colours.coloured(last, native_mix, within, with_part=False)[0], image[3:])


def test_ends_are_met_and_what_is_no_number_stays(kind):
    low, high, middle = torch.full((1, 1, 1), -104.3), torch.full((1, 1, 1), 150.7), torch.zeros(1, 1, 1)
    within = colours.range_of(low, high, middle)
    plane = torch.tensor([-torch.inf, -200, 0, 200, torch.inf, torch.nan]).reshape(1, 1, 1, 6)
    image, part = colours.coloured(plane, None, within, with_part=True)
    assert part is not None
    black, white = float(low), float(high)
    assert image[..., :2].flatten().tolist() == [black] * 2
    assert image[..., 3:5].flatten().tolist() == [white] * 2
    assert part[..., 2].item() == 0.5
    assert image.isnan().flatten().tolist() == part.isnan().flatten().tolist() == [False] * 5 + [True]
    assert colours.colour_gradient(torch.ones_like(plane), part, None, within).isnan().flatten().tolist() == [False] * 5 + [True]
    back = colours.uncoloured(image, None, within, 1e-3)[0].flatten()
    torch.testing.assert_close(back[[0, 4]], torch.logit(torch.tensor([1e-3, 0.999])), rtol=1e-4, atol=0)
    assert back.isnan().tolist() == [False] * 5 + [True]


def test_kernels_take_floats_of_which_no_gradient_is_asked(kind):
    plane = torch.zeros(1, 3, 2, 2)
    assert colours.can_colour(plane)
    assert not colours.can_colour(plane.double())
    assert not colours.can_colour(plane[0])
    assert not colours.can_colour(plane.to("meta"))
    leaf = plane.clone().requires_grad_()
    assert not colours.can_colour(leaf)
    with torch.no_grad():
        assert colours.can_colour(leaf)
