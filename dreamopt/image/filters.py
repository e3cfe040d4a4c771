"""Filters that regularizers and transforms share; each item of a batch comes out as it would alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Narrower than this, the neighbours' weight is below 1e-21 of the centre's: nothing is left to do.
MIN_SIGMA = 0.1
_NARROW = 12  # the radius up to which a blur is a sum of shifted images
LARGEST_SIGMA = 1000
"""The widest Gaussian, in pixels; its kernel is eight times as long."""
_LEAST_EXPONENT = -80.0
"""Of a weight: smaller ones count for nothing beside the pixel's own, 1, and denormal numbers take ten times as long."""


def gaussian(image: Tensor, sigma: float) -> Tensor:
    r"""Blur every channel with a Gaussian.

    .. math:: x \leftarrow G_\sigma * x, \qquad G_\sigma(t) \propto e^{-t^2 / 2 \sigma^2}, \quad |t| \le \lfloor 4 \sigma + 1/2 \rfloor

    along rows and columns, in a volume along every axis beside the channels, the image mirrored at its edges
    (``d c b a | a b c d | d c b a``): the numbers of ``scipy.ndimage.gaussian_filter`` with its defaults.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), or with any other number of axes beside the channels, at least one.
    sigma : float
        σ in pixels; below 0.1 the image stays as it is.

    Returns
    -------
    Tensor
        Of the image's shape, differentiable.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 1, 5)
    >>> x[..., 2] = 1
    >>> gaussian(x, 0.5)
    tensor([[[[2.6387e-04, 1.0645e-01, 7.8657e-01, 1.0645e-01, 2.6387e-04]]]])
    """
    if sigma < MIN_SIGMA:
        return image
    radius = math.floor(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(dtype=image.dtype, device=image.device)
    if image.dim() != 4:
        return torch.stack([_blurred(item, kernel, radius) for item in image])
    if radius <= _NARROW and image.device.type == "cpu":
        return _weighted(_weighted(image, 2, kernel, radius), 3, kernel, radius)
    n, c, h, w = image.shape
    rows, columns = _mirrored(h, radius, image.device), _mirrored(w, radius, image.device)
    blurred = []
    # One by one: a convolution of many planes may round otherwise than one of few.
    for item in image:
        planes = functional.conv2d(gather(item[:, None], 2, rows), kernel.reshape(1, 1, -1, 1))
        blurred.append(functional.conv2d(gather(planes, 3, columns), kernel.reshape(1, 1, 1, -1)))
    return torch.stack(blurred).reshape(n, c, h, w)


def _weighted(image: Tensor, axis: int, kernel: Tensor, radius: int) -> Tensor:
    """Return the blur along one axis as a sum of shifted images, which for narrow kernels is faster than a convolution of few planes."""
    side = image.shape[axis]
    wide = gather(image, axis, _mirrored(side, radius, image.device))
    weights: list[float] = kernel.tolist()
    total: Tensor = wide.narrow(axis, radius, side) * weights[radius]
    for k in range(radius):
        total = torch.add(total, wide.narrow(axis, k, side) + wide.narrow(axis, 2 * radius - k, side), alpha=weights[k])
    return total


def _blurred(item: Tensor, kernel: Tensor, radius: int) -> Tensor:
    """Return one item (C, ...) blurred along each axis beside the channels in turn."""
    for axis in range(1, item.dim()):
        wide = gather(item, axis, _mirrored(item.shape[axis], radius, item.device)).movedim(axis, -1)
        lines = functional.conv1d(wide.reshape(-1, 1, wide.shape[-1]), kernel.reshape(1, 1, -1))
        item = lines.reshape(*wide.shape[:-1], -1).movedim(-1, axis)
    return item


def bilateral(image: Tensor, sigma_colour: float, sigma_space: float) -> Tensor:
    r"""Replace every pixel by the mean of its neighbours, those of its own colour counting most.

    .. math:: x_p \leftarrow \frac{1}{Z_p} \sum_q e^{-\|p - q\|^2 / 2 \sigma_s^2}\, e^{-\|x_p - x_q\|^2 / 2 \sigma_c^2}\, x_q

    over a square of :math:`2 \lceil 3 \sigma_s \rceil + 1` pixels, the image mirrored at its edges. All channels together are the
    colour. (scikit-image's ``denoise_bilateral``, up to 0.26, lays its table of distances out for a square one pixel wider than the
    one that it reads, and so weighs the wrong neighbours; this is the formula.)

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    sigma_colour : float
        σ_c, above 0, in the image's values.
    sigma_space : float
        σ_s, above 0, in pixels.

    Examples
    --------
    >>> bilateral(torch.tensor([[[[0.0, 4.0, 90.0]]]]), 10.0, 1.0).round()
    tensor([[[[ 1.,  2., 90.]]]])
    """
    h, w = image.shape[2:]
    radius = math.ceil(3 * sigma_space)
    rows, columns = _mirrored(h, radius, image.device), _mirrored(w, radius, image.device)
    wide = gather(gather(image, 2, rows), 3, columns)
    total, weights = torch.zeros_like(image), torch.zeros_like(image[:, 0])
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            near = wide[:, :, radius + dy : radius + dy + h, radius + dx : radius + dx + w]
            far = (near[:, 0] - image[:, 0]).square()
            for channel in range(1, image.shape[1]):
                difference = near[:, channel] - image[:, channel]
                far = torch.addcmul(far, difference, difference)
            exponent = -far / (2 * sigma_colour**2) - (dy * dy + dx * dx) / (2 * sigma_space**2)
            weight = exponent.clamp(min=_LEAST_EXPONENT).exp()
            total, weights = torch.addcmul(total, weight[:, None], near), weights + weight
    return total / weights[:, None]


def soft_box(image: Tensor, width: int) -> Tensor:
    """Return the mean of each pixel's neighbours in a square, the square's rim counted half, what lies outside the image not at all.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), or with any other number of axes beside the channels: the square is a cube in a volume.
    width : int
        Side of the square, odd: 3 gives the centre the weight 1 and each of its eight neighbours 1/2.

    Examples
    --------
    >>> soft_box(torch.tensor([[[[0.0, 4.0, 0.0]]]]), 3).flatten()
    tensor([1.3333, 2.0000, 1.3333])
    """

    def summed(planes: Tensor) -> Tensor:
        # Half the square and half the one without its rim; each a sum along columns, then along rows.
        return 0.5 * (_box(planes, width // 2) + _box(planes, width // 2 - 1))

    return summed(image) / summed(image.new_ones(1, 1, *image.shape[2:]))


def _box(planes: Tensor, reach: int) -> Tensor:
    sides = planes.shape[2:]
    summed = functional.pad(planes, (reach, reach) * len(sides))
    for axis, side in enumerate(sides, 2):
        wide = summed
        summed = sum((wide.narrow(axis, k, side) for k in range(1, 2 * reach + 1)), wide.narrow(axis, 0, side))
    return summed


def percentile(values: Tensor, percent: float) -> Tensor:
    """Return the percentile of each row, between two ranks by a straight line: ``numpy.percentile``'s default.

    Parameters
    ----------
    values : Tensor
        (N, K).
    percent : float
        0 gives the least, 100 the greatest.

    Returns
    -------
    Tensor
        (N,).

    Examples
    --------
    >>> percentile(torch.tensor([[4.0, 1.0, 2.0]]), 75)
    tensor([3.])
    """
    place = percent / 100.0 * (values.shape[1] - 1)
    low = min(math.floor(place), values.shape[1] - 1)
    lower, upper = (values.kthvalue(rank + 1, 1).values for rank in (low, min(low + 1, values.shape[1] - 1)))
    # lerp counts from the nearer end, as numpy does.
    return torch.lerp(lower, upper, place - low)


def gather(image: Tensor, dim: int, places: Tensor) -> Tensor:
    """Return ``image`` with what stands at ``places`` along one axis; a place may come more than once.

    >>> gather(torch.tensor([[5, 6, 7]]), 1, torch.tensor([2, 2, 0]))
    tensor([[7, 7, 5]])
    """
    if image.device.type == "cpu":
        return image.index_select(dim, places)
    # On a GPU the gradient of index_select is summed in an order that changes from run to run; that of indexing is not.
    return image[(slice(None),) * dim + (places,)]


def _mirrored(count: int, radius: int, device: torch.device) -> Tensor:
    """Return where each position from ``-radius`` to ``count + radius - 1`` lies after mirroring at both edges, however often."""
    position = torch.arange(-radius, count + radius, device=device) % (2 * count)
    return torch.minimum(position, 2 * count - 1 - position)
