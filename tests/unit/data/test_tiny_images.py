"""The images that the embedded net learns from."""

import numpy as np
import pytest

from dreamopt.data.textures import CLASSES, batch, patterns, texture_image


@pytest.mark.parametrize("name", CLASSES)
def test_an_image_follows_from_its_number_alone(name: str) -> None:
    first = texture_image(name, 3, seed=5)
    texture_image(name, 4, seed=5)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, texture_image(name, 3, seed=5))
    for other in (texture_image(name, 2, seed=5), texture_image(name, 3, seed=6), texture_image(name, 3, seed=5, held_out=True)):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", CLASSES)
def test_an_image_shows_something(name: str) -> None:
    assert np.mean([texture_image(name, k).astype(np.float64).std((0, 1)).max() for k in range(4)]) > 12


def test_classes_are_in_alphabetical_order_and_described() -> None:
    assert list(CLASSES) == sorted(CLASSES)
    assert all(getattr(patterns, name).__doc__ for name in CLASSES)


def test_a_batch_is_its_images() -> None:
    images = batch([2, 0], 10, seed=1, size=48)
    assert np.array_equal(images[0], texture_image(CLASSES[2], 10, 1, size=48))
    assert np.array_equal(images[1], texture_image(CLASSES[0], 11, 1, size=48))
