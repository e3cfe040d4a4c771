"""Parametrizations (which numbers are searched), transforms (how the image is shaken), picture files and contact sheets."""

from dreamopt.image.fourier import Fourier
from dreamopt.image.jitter import Jitter
from dreamopt.image.parametrization import Parametrization
from dreamopt.image.pixels import Pixels
from dreamopt.image.transform import Transform

__all__ = ["Fourier", "Jitter", "Parametrization", "Pixels", "Transform"]
