"""Numbers of the parametrizations, against plain numpy: Lucid's, Xplique's, Horama's, and what each is made of."""

import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamopt.errors import ImageError, UsageError
from dreamopt.image import CPPN, Alpha, Fourier, Laplacian, Maco, Pixels, Shared
from dreamopt.image.files import read_image, read_written, write_image
from dreamopt.image.init import given_images
from dreamopt.image.parametrization import ImageSpace
from dreamopt.image.reference import ImageValue
from dreamopt.image.spectrum import image_files, magnitudes
from dreamopt.parts.streams import streams
from dreamopt.testing.bench import image_space

LUCID = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
XPLIQUE = np.array([[0.56282854, 0.58447580, 0.58447580], [0.19482528, 0.0, -0.19482528], [0.04329450, -0.10823626, 0.06494176]])


def grey(image: torch.Tensor, space: ImageSpace) -> NDArray[np.float64]:
    """Return grey levels (H, W, 3), red first."""
    assert space.low is not None
    planes = (image[0] - space.low).numpy()
    return np.moveaxis(planes[::-1] if space.order == "BGR" else planes, 0, -1)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))


def radius(height: int, width: int) -> NDArray[np.float64]:
    return np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2)


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_fourier_is_lucids(order: str) -> None:
    space = image_space(3, 8, 12, order=order)
    c = np.random.default_rng(0).normal(0, 0.8, (3, 8, 7, 2))
    scale = np.sqrt(12 * 8) / np.maximum(radius(8, 12), 1 / 12)
    t = np.moveaxis(np.fft.irfft2(scale * (c[..., 0] + 1j * c[..., 1]), s=(8, 12)) / 4, 0, -1)
    mixed = t @ (LUCID / np.linalg.norm(LUCID, axis=0).max()).T
    fourier = Fourier(scaling="lucid", decorrelate="lucid", centre="grey")
    np.testing.assert_allclose(grey(fourier.image(torch.from_numpy(c)[None], space), space), 255 * sigmoid(mixed), rtol=1e-10)
    plain = Fourier(scaling="lucid", decorrelate="lucid", sigmoid=False, centre=(122.4, 117.3, 104.55))
    expected = 255 * np.clip(mixed + np.array([0.48, 0.46, 0.41]), 0, 1)
    np.testing.assert_allclose(grey(plain.image(torch.from_numpy(c)[None], space), space), expected, rtol=1e-10, atol=1e-9)
    assert 0 < (expected == 0).mean() < 0.5
    start = Fourier(noise=2.55, scaling="lucid").start(image_space(3, 60, 80), streams(0, range(2)))
    np.testing.assert_allclose(start.std(), 0.01, rtol=0.02)
    assert fourier.unit(space) * 12.75 == pytest.approx(0.05)


def test_fourier_is_xpliques_and_horamas() -> None:
    space = image_space(3, 8, 12)
    c = np.random.default_rng(1).normal(0, 0.8, (3, 8, 7, 2))

    def plane(spectrum: NDArray[np.complex128], decay: float) -> NDArray[np.float64]:
        scale = np.sqrt(12 * 8) / np.maximum(radius(8, 12), 1 / 12) ** decay
        return np.asarray(np.moveaxis(np.fft.irfft2(scale * spectrum, s=(8, 12)), 0, -1))

    xplique = Fourier(power=0.85, scaling="lucid", decorrelate="xplique", centre="grey")
    expected = 255 * sigmoid(plane(c[..., 0] + 1j * c[..., 1], 0.85) / 4 @ XPLIQUE)
    np.testing.assert_allclose(grey(xplique.image(torch.from_numpy(c)[None], space), space), expected, rtol=1e-10)
    horama = Fourier(power=1.5, standardize=True, decorrelate="xplique", centre="grey", values=(-2.5, 2.5))
    spectrum = (c - c.mean()) / c.std()
    t = plane(spectrum[..., 0] + 1j * spectrum[..., 1], 1.5)
    expected = sigmoid((t - t.mean()) / t.std() @ XPLIQUE) * 5 - 2.5
    image = horama.image(torch.from_numpy(c)[None], space)[0].numpy()
    np.testing.assert_allclose(np.moveaxis(image[::-1], 0, -1), expected, atol=5e-4)  # their ε is 1e-4


def test_pixels_start_at_the_colour_given() -> None:
    space = image_space(3, 40, 50)
    shown = grey(Pixels(noise=8, centre=200).start(space, streams(0, [0])), space)
    np.testing.assert_allclose([shown.mean(), shown.std()], [200, 8], rtol=0.02)
    coloured = grey(Pixels(noise=0, centre=(250, 20, 90)).start(space, streams(0, [0])), space)
    np.testing.assert_allclose(coloured[7, 3], [250, 20, 90])
    even = grey(Pixels(noise=127.5, centre="grey", uniform=True).start(space, streams(0, [0])), space)
    assert even.min() < 1
    assert even.max() > 254
    np.testing.assert_allclose(even.std(), 255 / np.sqrt(12), rtol=0.02)


def test_a_laplacian_pyramid_is_the_sum_of_its_levels() -> None:
    space, pyramid = image_space(1, 6, 10), Laplacian((1, 2), power=0.5, centre="grey")
    random = np.random.default_rng(0)
    fine, coarse = random.normal(size=(6, 10)), random.normal(size=(3, 5))

    def enlarged(level: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        count = level.shape[axis]
        places = np.clip((np.arange(2 * count) + 0.5) / 2 - 0.5, 0, count - 1)
        low = np.minimum(places.astype(int), count - 2)
        part = np.expand_dims(places - low, 1 - axis)
        return np.asarray(level.take(low, axis) * (1 - part) + level.take(low + 1, axis) * part)

    total = fine + 2**0.5 * enlarged(enlarged(coarse, 0), 1)
    params = torch.from_numpy(np.concatenate([fine.ravel(), coarse.ravel()]))[None]
    image = pyramid.image(params, space)
    np.testing.assert_allclose((image + 104)[0, 0], 255 * sigmoid(total), rtol=1e-10)


def test_a_cppn_is_its_formula_and_flat_at_the_start() -> None:
    space, cppn = image_space(2, 3, 5), CPPN(layers=1, width=4, centre="grey")
    params = np.random.default_rng(0).normal(size=cppn.shape(space))
    w, b, v, c = np.split(params, [8, 12, 28])
    x, y = np.meshgrid(np.linspace(-(3**0.5), 3**0.5, 5), np.linspace(-(3**0.5) / 2, 3**0.5 / 2, 3))
    bent = np.arctan(np.einsum("oi,ihw->ohw", w.reshape(4, 2), np.stack([x, y])) + b[:, None, None])
    hidden = np.concatenate([bent / 0.67, bent**2 / 0.6])
    expected = 255 * sigmoid(np.einsum("oi,ihw->ohw", v.reshape(2, 8), hidden) + c[:, None, None])
    image = cppn.image(torch.from_numpy(params)[None], space)[0] + torch.tensor([104.0, 117.0])[:, None, None]
    np.testing.assert_allclose(image, expected, rtol=1e-10)
    start = CPPN().start(image_space(3, 8, 12), streams(0, [0]))
    np.testing.assert_allclose(CPPN().image(start, image_space(3, 8, 12)), 0, atol=1e-9)  # the mean colour
    hidden_weights = start[0, 24 * 3 : 24 * 3 + 24 * 48]
    np.testing.assert_allclose(hidden_weights.std(), (1 / 48) ** 0.5, rtol=0.1)


def test_what_is_shared_is_the_mean_and_moves_everybody() -> None:
    space, shared = image_space(3, 8, 12), Shared(Fourier(noise=0), factors=(4,))
    own = np.prod(Fourier().shape(space))
    params = torch.zeros(4, *shared.shape(space), dtype=torch.float64)
    params[:, own:] = torch.tensor([1.0, 5.0, -2.0, 0.0]).double()[:, None]
    images = shared.image(params, space)
    assert shared.coupled
    for one in images:
        torch.testing.assert_close(one, images[0], rtol=0, atol=1e-12)
    alone = torch.zeros(1, *shared.shape(space), dtype=torch.float64)
    alone[:, own:] = 1.0
    torch.testing.assert_close(shared.image(alone, space)[0], images[0])
    leaf = params.clone().requires_grad_()
    shared.image(leaf, space)[0].sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad[3, own:], leaf.grad[0, own:])
    assert not leaf.grad[3, :own].any()


def test_with_several_cells_only_neighbours_agree() -> None:
    space, shared = image_space(3, 8, 12), Shared(Fourier(noise=0), factors=(8,), cells=2)
    leaf = shared.start(space, streams(0, range(6))).requires_grad_()
    shared.image(leaf, space)[0].sum().backward()
    assert leaf.grad is not None
    pull = leaf.grad.abs().sum(1)
    assert pull[1] > pull[2] > 0
    assert pull[5] == 0


def test_opacity_is_judged_as_lucid_does() -> None:
    alpha = torch.from_numpy(np.random.default_rng(0).uniform(size=(2, 1, 4, 6)))
    kernel = np.array([[0.5, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.5]])
    expected = []
    for one, score in zip(alpha[:, 0].numpy(), (3.0, -2.0), strict=True):
        blurred = np.zeros_like(one)
        for y in range(4):
            for x in range(6):
                near = [(y + j - 1, x + i - 1, kernel[j, i]) for j in range(3) for i in range(3)]
                inside = [(one[v, u], k) for v, u, k in near if 0 <= v < 4 and 0 <= u < 6]
                blurred[y, x] = sum(a * k for a, k in inside) / sum(k for _, k in inside)
        expected.append(score * (1 - one.mean()) - 0.1 * 0.5 * ((one - blurred) ** 2).sum())
    leaf = alpha.clone().requires_grad_()
    judged = Alpha().score_with_opacity(torch.tensor([3.0, -2.0]).double(), leaf)
    np.testing.assert_allclose(judged.detach(), expected, rtol=1e-12)
    torch.testing.assert_close(Alpha(favour=0, smooth=0).score_with_opacity(torch.ones(2), alpha), torch.ones(2).double())


def test_the_background_is_new_at_each_step_and_gone_where_all_is_opaque() -> None:
    space = image_space(3, 16, 20)
    image = Fourier().image(Fourier().start(space, streams(0, [0, 1])), space)
    opaque, clear = torch.ones(2, 1, 16, 20, dtype=torch.float64), torch.zeros(2, 1, 16, 20, dtype=torch.float64)
    torch.testing.assert_close(Alpha().composite(image, opaque, streams(0, [0, 1], 3), space), image)
    behind = [Alpha().composite(image, clear, streams(0, [0, 1], step), space) for step in (3, 4)]
    assert (behind[0] - behind[1]).abs().mean() > 10
    assert (behind[0][0] - behind[0][1]).abs().mean() > 10
    assert 20 < behind[0].std() < 90
    flat = Alpha(background=0).composite(image, clear, streams(0, [0, 1]), space)
    np.testing.assert_allclose(grey(flat[:1], space), 127.5)


def test_images_with_opacity_are_written_as_they_are_and_read_on_white(tmp_path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
    write_image(tmp_path / "one.png", image)
    np.testing.assert_array_equal(read_written(tmp_path / "one.png"), image)
    part = image[..., 3:] / 255
    np.testing.assert_allclose(read_image(tmp_path / "one.png"), image[..., :3] * part + 255 * (1 - part), rtol=0, atol=1)


@pytest.mark.parametrize(("epsilon", "ends"), [(1e-5, (-1.0, 1.0)), (1e-4, (-2.5, 2.5))])
def test_maco_is_its_formula(epsilon: float, ends: tuple[float, float]) -> None:
    space = image_space(3, 8, 12)
    maco = Maco(epsilon=epsilon, values=ends)
    phase = np.random.default_rng(0).normal(0, 1.7, (3, 8, 7))
    rows = tuple(map(tuple, XPLIQUE.T.tolist()))
    strengths = magnitudes(None, 3, (8, 12), rows).numpy()
    turned = (phase - phase.mean()) / (phase.std() + epsilon)
    t = np.fft.irfft2(strengths * np.exp(1j * turned), s=(8, 12), norm="ortho")
    t = np.moveaxis((t - t.mean()) / (t.std() + epsilon), 0, -1)
    expected = sigmoid(t @ XPLIQUE) * (ends[1] - ends[0]) + ends[0]
    image = maco.image(torch.from_numpy(phase)[None], space)[0].numpy()
    np.testing.assert_allclose(np.moveaxis(image[::-1], 0, -1), expected, rtol=1e-6, atol=1e-7)


def test_magnitudes_are_those_of_photographs() -> None:
    assert {path.stem for path in image_files(None)} >= {"astronaut", "chelsea", "coffee", "rocket"}
    strengths = magnitudes(None, 1, (60, 80), None)
    assert strengths.shape == (1, 60, 41)
    far = radius(60, 80)
    near, wide = strengths[0][torch.from_numpy((far > 0.05) & (far < 0.1))].mean(), strengths[0][torch.from_numpy(far > 0.4)].mean()
    assert near > 4 * wide  # 1/f: about eight times
    torch.testing.assert_close(strengths[0, 1:], strengths[0, 1:].flip(0))  # as of the mirror images


@pytest.mark.parametrize("place", ["~nobody-of-that-name/photos", "x" * 300, "x" * 300 + "/*.png"])
def test_a_place_that_cannot_be_has_no_pictures(place: str) -> None:
    with pytest.raises(ImageError, match=rf"there are no pictures at '{re.escape(place)}'"):
        image_files(place)


def test_magnitudes_of_pictures_of_ones_own(tmp_path) -> None:
    stripes = np.zeros((24, 24, 3), np.uint8)
    stripes[:, ::2] = 200
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "deep" / name, stripes)
    for where in (tmp_path, tmp_path / "deep" / "*.png", tmp_path / "deep" / "a.png"):
        found = magnitudes(str(where), 3, (24, 24), None)
        assert found[0, 0, [8, 12]].min() > 10 * found[0, 0, [2, 3, 10]].max()  # the corners are enlarged by 3/2
    np.save(tmp_path / "own.npy", np.arange(24.0).reshape(2, 4, 3))
    torch.testing.assert_close(magnitudes(str(tmp_path / "own.npy"), 2, (4, 4), None), torch.arange(24.0).double().reshape(2, 4, 3))
    assert magnitudes(str(tmp_path / "own.npy"), 2, (9, 7), None).shape == (2, 9, 4)
    with pytest.raises(ImageError, match=r"with C = 3, not \(2, 4, 3\)"):
        magnitudes(str(tmp_path / "own.npy"), 3, (4, 4), None)
    with pytest.raises(ImageError, match="there are no pictures at"):
        magnitudes(str(tmp_path / "none" / "*.jpg"), 3, (4, 4), None)


def test_maco_starts_from_an_image_s_phases_where_they_are_free() -> None:
    space = image_space(3, 40, 50)
    image = Fourier(noise=40).image(Fourier(noise=40).start(space, streams(0, [0])), space)
    free = Maco(standardize=False)
    again = free.image(free.params(image, space), space)
    alike = np.corrcoef(grey(image, space).ravel(), grey(again, space).ravel())[0, 1]
    assert alike > 0.6
    started = Maco(standardize=False, init=image[0])
    torch.testing.assert_close(started.image(started.start(space, streams(0, [0])), space), again)
    with pytest.raises(UsageError, match="say standardize=False, or use Fourier"):
        Maco(init=image[0])


def test_a_picture_is_given_in_many_forms(tmp_path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    single = image_space(1, 8, 12)
    luminance = picture @ np.array([0.299, 0.587, 0.114])
    shown = given_images(ImageValue(picture), single, 2) + 104
    np.testing.assert_allclose(shown, np.broadcast_to(luminance, (2, 1, 8, 12)), rtol=1e-12)
    np.testing.assert_allclose(given_images(ImageValue(picture[..., 0]), single, 1) + 104, picture[None, None, ..., 0])
    np.testing.assert_allclose(
        grey(given_images(ImageValue(picture[..., :1]), image_space(3, 8, 12), 1), image_space(3, 8, 12)), picture[..., :1].repeat(3, 2)
    )
    four = image_space(4, 8, 12)
    assert four.low is not None
    deep = np.random.default_rng(1).integers(0, 256, (8, 12, 4), dtype=np.uint8)
    found = (given_images(ImageValue(deep), four, 1) - four.low)[0]
    np.testing.assert_allclose(found, np.moveaxis(deep[..., [2, 1, 0, 3]], 2, 0))
    write_image(tmp_path / "large.png", np.repeat(np.repeat(picture, 4, 0), 4, 1))
    np.testing.assert_allclose(
        grey(given_images(str(tmp_path / "large.png"), image_space(3, 8, 12), 1), image_space(3, 8, 12)).mean(), picture.mean(), atol=1
    )
    for wrong, space in ((deep, image_space(3, 8, 12)), (np.zeros((3, 4, 4)), four)):
        with pytest.raises(ImageError, match="does not fit the canvas"):
            given_images(ImageValue(wrong), space, 1)
    with pytest.raises(ImageError, match=r"an input of shape \(7,\); give a tensor"):
        given_images(ImageValue(picture), ImageSpace((7,), None, None, 1.0, torch.zeros(())), 1)
    with pytest.raises(ImageError, match="cannot be read"):
        given_images(str(tmp_path / "gone.png"), image_space(3, 8, 12), 1)


def test_an_image_in_memory_does_not_change_with_its_array() -> None:
    values = torch.zeros(3, 8, 12, dtype=torch.float64)
    pixels = Pixels(init=values)
    values += 5
    assert not pixels.start(image_space(3, 8, 12), streams(0, [0])).any()
    assert hash(pixels) == hash(Pixels(init=torch.zeros(3, 8, 12, dtype=torch.float64)))
    assert Pixels(init=np.zeros((8, 12, 3))) != Pixels(init=torch.zeros(8, 12, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fourier(decorrelate="hue"), "decorrelate of Fourier must be True, False, lucid or xplique, not 'hue'"),
        (lambda: Fourier(scaling="long"), "scaling of Fourier must be unit or lucid, not 'long'"),  # type: ignore[arg-type]
        (lambda: Fourier(values=(1, -1)), r"values of Fourier must be \(low, high\), not \(1, -1\)"),
        (lambda: Fourier(centre="pink"), "a colour is mean, black"),
        (lambda: Laplacian(()), r"factors of Laplacian must be at least one number, not \(\)"),
        (lambda: Laplacian((0, 2)), "factors of Laplacian"),
        (lambda: Laplacian(noise=-1), "noise of Laplacian must be at least 0, not -1"),
        (lambda: CPPN(layers=0), "layers of CPPN must be a whole number from 1 to 1024, not 0"),
        (lambda: CPPN(noise=-1), "noise of CPPN must be at least 0"),
        (lambda: Shared(Alpha()), r"not over Alpha\(\); write alpha\(shared\(...\)\)"),
        (lambda: Shared(factors=(0,)), "factors of Shared"),
        (lambda: Shared(cells=0), "cells of Shared must be a whole number of at least 1, not 0"),
        (lambda: Alpha(Alpha()), r"without an opacity of their own, not Alpha\(\)"),
        (lambda: Alpha(opacity=Shared()), r"belongs to each item alone, which Shared\(\) does not allow"),
        (lambda: Alpha(smooth=-1), "smooth of Alpha must be at least 0, not -1"),
        (lambda: Maco(epsilon=0), "epsilon of Maco must be above 0, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()
