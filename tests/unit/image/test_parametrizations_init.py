"""Parametrizations that start from an image, and what stays when an image is updated; a grey generator."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import ImageError
from dreamopt.image import Alpha, Fourier, Generator, Laplacian, Parametrization, Pixels, Shared
from dreamopt.image.parametrization import parse_parametrization
from dreamopt.network import Network
from dreamopt.parts.streams import streams
from dreamopt.testing import bench
from dreamopt.testing.bench import image_space
from dreamopt.testing.kinds import parametrizations as kind


@pytest.mark.parametrize(
    "parametrization", [Shared(), Shared(Pixels(), (2,), cells=2), Alpha(Shared(Fourier(noise=2)), Laplacian((2,)), smooth=0)], ids=str
)
def test_an_updated_image_leaves_what_is_shared_as_it_was(parametrization: Parametrization) -> None:
    space = image_space()
    params = parametrization.start(space, streams(0, range(3)))
    updated = parametrization.update_from_image(params, 0.9 * parametrization.image(params, space), space)
    shared = parametrization.of if isinstance(parametrization, Alpha) else parametrization
    assert isinstance(shared, Shared)
    own, end = (int(np.prod(part.shape(space))) for part in (shared.of, shared))
    assert not torch.equal(updated[:, :own], params[:, :own])
    assert torch.equal(updated[:, own:end], params[:, own:end])


@pytest.mark.parametrize("check", kind.KIND.checks[3:], ids=lambda check: check.__name__)
def test_a_generator_of_grey_images_in_double_precision(check: Callable[..., None]) -> None:
    weights = 30 * torch.randn(6, 12 * 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def grey(code: torch.Tensor) -> torch.Tensor:
        return torch.cat([(row @ weights.to(row)).tanh().mul(90).reshape(1, 1, 12, 9) for row in code.split(1)])

    net = Network(FunctionBackend([("image", "Deconvolution", grey)], (6,), dtype=torch.float64))
    check(Generator(net, decay=0.5, upper=2.5, fit="resize", noise=0.5, mean=110), bench())


@pytest.mark.parametrize("make", [Pixels, Fourier, Laplacian])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_a_run_starts_from_an_image(make: Callable[..., Parametrization], order: str, tmp_path) -> None:
    from dreamopt.image.files import write_image

    picture = np.random.default_rng(0).integers(20, 230, (10, 15, 3), dtype=np.uint8)
    path = write_image(tmp_path / "photo.png", picture)
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
    four = image_space(4)
    assert four.low is not None
    for init in (str(path), picture):
        start = make(init=init)
        shown = start.image(start.start(four, streams(0, [0])), four)[0] - four.low
        torch.testing.assert_close(shown[:3], planes.flip(0) if four.order == "BGR" else planes, rtol=0, atol=1e-6)
        torch.testing.assert_close(shown[3], torch.tensor([0.299, 0.587, 0.114]).to(planes) @ planes.movedim(0, 1), rtol=0, atol=1e-4)
    with pytest.raises(ImageError, match=r"shape \(10, 15, 5\) does not fit the canvas \(4, 10, 15\): give \(H, W, C\) = \(10, 15, 4\)"):
        make(init=np.zeros((10, 15, 5))).start(four, streams(0, [0]))
