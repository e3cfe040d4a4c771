"""Baselines: each colour in the input space, the blur's numbers, inputs that are no images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dreamopt.attribution.baselines import baseline_images, checked_baseline, checked_baselines, each_baseline
from dreamopt.errors import UsageError
from dreamopt.testing.bench import image_space

MEAN = (104.0, 117.0, 123.0)
SPACE = image_space(3, 20, 31, scale=0.5)
IMAGES = torch.randn(2, 3, 20, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("baseline", "levels"),
    [("mean", MEAN), ("black", (0, 0, 0)), ("white", (255, 255, 255)), (30, (30, 30, 30)), ((10, 20, 40), (40, 20, 10))],
)
def test_a_colour_is_its_grey_levels_in_the_input_space(baseline: object, levels: tuple[float, ...]) -> None:
    expected = 0.5 * (torch.tensor(levels, dtype=torch.float64) - torch.tensor(MEAN, dtype=torch.float64))
    values = baseline_images(checked_baseline(baseline), IMAGES, SPACE)
    assert values.shape == IMAGES.shape
    torch.testing.assert_close(values, expected[None, :, None, None].expand_as(IMAGES))


def test_the_blur_is_a_tenth_of_the_shorter_side_wide() -> None:
    values = baseline_images("blur", IMAGES, SPACE)
    expected = np.stack([[gaussian_filter(plane, 2.0) for plane in image] for image in IMAGES.numpy()])
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_inputs_that_are_no_images() -> None:
    vectors = torch.ones(2, 5)
    assert not baseline_images("mean", vectors, None).any()
    for baseline, words in (("black", "needs a net that takes images"), ("blur", "no places to blur"), (7, "needs a net")):
        with pytest.raises(UsageError, match=words):
            baseline_images(baseline, vectors, None)
    signal = torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(1))
    blurred = baseline_images("blur", signal, None)
    np.testing.assert_allclose(blurred[1, 2], gaussian_filter(signal[1, 2].numpy(), 4.0), rtol=1e-4, atol=1e-6)


def test_one_or_several() -> None:
    assert each_baseline(checked_baselines("blur")) == ("blur",)
    assert each_baseline(checked_baselines([1, 2, 3])) == ((1, 2, 3),)
    assert each_baseline(checked_baselines(("black", (1, 2, 3), 255))) == ("black", (1, 2, 3), 255)
    for wrong in ("zero", (1, 2), (), ("black", "zero"), -1, float("nan"), None):
        with pytest.raises(UsageError, match="a baseline is mean, black, grey, white, blur"):
            checked_baselines(wrong)
