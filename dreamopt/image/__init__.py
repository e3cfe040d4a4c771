"""Parametrizations (which numbers are searched), transforms (how the image is shaken), picture files and contact sheets."""

from dreamopt.image.parametrization import Parametrization
from dreamopt.image.parametrizations.alpha import Alpha
from dreamopt.image.parametrizations.cppn import CPPN
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.generator import Generator
from dreamopt.image.parametrizations.laplacian import Laplacian
from dreamopt.image.parametrizations.maco import Maco
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.parametrizations.shared import Shared
from dreamopt.image.transform import Transform
from dreamopt.image.transforms.affine import Affine
from dreamopt.image.transforms.blur import Blur
from dreamopt.image.transforms.center_crop import CenterCrop
from dreamopt.image.transforms.crop_jitter import CropJitter
from dreamopt.image.transforms.crop_or_pad import CropOrPad
from dreamopt.image.transforms.flip import Flip
from dreamopt.image.transforms.gradient_mask import GradientMask
from dreamopt.image.transforms.jitter import Jitter
from dreamopt.image.transforms.noise import Noise
from dreamopt.image.transforms.normal_crop import NormalCrop
from dreamopt.image.transforms.pad import Pad
from dreamopt.image.transforms.random_crop_resize import RandomCropResize
from dreamopt.image.transforms.resize import Resize
from dreamopt.image.transforms.rotate import Rotate
from dreamopt.image.transforms.scale import Scale
from dreamopt.image.transforms.translate import Translate

__all__ = [
    "CPPN",
    "Affine",
    "Alpha",
    "Blur",
    "CenterCrop",
    "CropJitter",
    "CropOrPad",
    "Flip",
    "Fourier",
    "Generator",
    "GradientMask",
    "Jitter",
    "Laplacian",
    "Maco",
    "Noise",
    "NormalCrop",
    "Pad",
    "Parametrization",
    "Pixels",
    "RandomCropResize",
    "Resize",
    "Rotate",
    "Scale",
    "Shared",
    "Transform",
    "Translate",
]
