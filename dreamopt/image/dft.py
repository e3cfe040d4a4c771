"""The discrete Fourier transform of real planes and its inverse, axis by axis, and what gradients through the inverse are weighted with."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from dreamopt.engine.native import dft as native


def forward(planes: Tensor) -> Tensor:
    r"""Return half the spectrum of real planes.

    .. math:: X_{k, l} = (HW)^{-1/2} \sum_{y, x} x_{y, x}\, e^{-2 \pi i (k y / H + l x / W)}

    Parameters
    ----------
    planes : Tensor
        (..., H, W), real.

    Returns
    -------
    Tensor
        (..., H, W // 2 + 1), complex.

    Examples
    --------
    >>> forward(torch.tensor([[1.0, 3.0]]))
    tensor([[ 2.8284+0.j, -1.4142+0.j]])
    """
    spectrum: Tensor = torch.fft.rfft2(planes, norm="ortho")
    return spectrum


def inverse(spectrum: Tensor, width: int) -> Tensor:
    """Return the real planes (..., H, W) of half a spectrum (..., H, W // 2 + 1); differentiable.

    Examples
    --------
    >>> inverse(forward(torch.tensor([[1.0, 3.0, 5.0]])), 3).round(decimals=4)
    tensor([[1., 3., 5.]])
    """
    # Axis by axis: as one transform torch copies and takes up to five times as long.
    columns = torch.fft.ifft(spectrum, dim=-2, norm="ortho")
    planes: Tensor = torch.fft.irfft(columns, n=width, dim=-1, norm="ortho")
    return planes


@lru_cache(maxsize=32)
def times(width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    r"""Return how often each column of half a spectrum counts, (W // 2 + 1,): twice but for the first, and the last of an even width.

    Every other frequency stands for its conjugate too, so that the gradient of `inverse` at the spectrum is

    .. math:: g_{k, l} = c_l\, \mathcal{F}(g)_{k, l}, \qquad c_l = 1 \text{ where } 2 l \in \{0, W\}, \text{ else } 2
    """
    counts = torch.full((width // 2 + 1,), 2.0, dtype=dtype, device=device)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


def planes_of(pairs: Tensor, weights: Tensor, width: int) -> Tensor:
    r"""Return the real planes of weighted half spectra, given as pairs of real and imaginary part; differentiable.

    .. math:: x = \mathcal{F}^{-1}(w \cdot p)

    Parameters
    ----------
    pairs : Tensor
        (..., H, W // 2 + 1, 2).
    weights : Tensor
        w, (H, W // 2 + 1).
    width : int
        W.

    Examples
    --------
    >>> pairs = pairs_of(torch.tensor([[1.0, 3.0, 5.0]]), torch.ones(1, 2))
    >>> planes_of(pairs, torch.ones(1, 2), 3).round(decimals=4)
    tensor([[1., 3., 5.]])
    """
    asked = pairs.requires_grad and torch.is_grad_enabled()
    if not asked and native.pays(pairs, (pairs.shape[-3], width)):
        return native.planes(pairs, weights, width)
    pairs = pairs.contiguous()
    if pairs.storage_offset() % 2:  # a slice of others' parameters: pairs of numbers must begin at an even place
        pairs = pairs.clone()
    return inverse(torch.view_as_complex(pairs) * weights, width)


def pairs_of(planes: Tensor, weights: Tensor) -> Tensor:
    r"""Return weighted half spectra of real planes, :math:`w \cdot \mathcal{F}(x)`, as pairs of real and imaginary part; differentiable.

    Parameters
    ----------
    planes : Tensor
        (..., H, W), real.
    weights : Tensor
        w, (H, W // 2 + 1).

    Returns
    -------
    Tensor
        (..., H, W // 2 + 1, 2).

    Examples
    --------
    >>> pairs_of(torch.tensor([[1.0, 3.0]]), torch.ones(1, 2))
    tensor([[[ 2.8284,  0.0000],
             [-1.4142,  0.0000]]])
    """
    asked = planes.requires_grad and torch.is_grad_enabled()
    if not asked and native.pays(planes, (planes.shape[-2], planes.shape[-1])):
        return native.pairs(planes, weights)
    return torch.view_as_real(forward(planes) * weights)
