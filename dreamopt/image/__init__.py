"""Parametrizations (which numbers are searched), transforms (how the image is shaken), picture files and contact sheets."""

from dreamopt.image.parametrization import Parametrization
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transform import Transform
from dreamopt.image.transforms.jitter import Jitter

__all__ = ["Fourier", "Jitter", "Parametrization", "Pixels", "Transform"]
