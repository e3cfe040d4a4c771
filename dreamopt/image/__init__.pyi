# Written by make docs.
from dreamopt.parts.lazy import LazyNames
from dreamopt.image.parametrization import Parametrization as Parametrization
from dreamopt.image.parametrizations.alpha import Alpha as Alpha
from dreamopt.image.parametrizations.cppn import CPPN as CPPN
from dreamopt.image.parametrizations.fourier import Fourier as Fourier
from dreamopt.image.parametrizations.generator import Generator as Generator
from dreamopt.image.parametrizations.laplacian import Laplacian as Laplacian
from dreamopt.image.parametrizations.maco import Maco as Maco
from dreamopt.image.parametrizations.pixels import Pixels as Pixels
from dreamopt.image.parametrizations.shared import Shared as Shared
from dreamopt.image.transform import Transform as Transform
from dreamopt.image.transforms.affine import Affine as Affine
from dreamopt.image.transforms.blur import Blur as Blur
from dreamopt.image.transforms.center_crop import CenterCrop as CenterCrop
from dreamopt.image.transforms.crop_jitter import CropJitter as CropJitter
from dreamopt.image.transforms.crop_or_pad import CropOrPad as CropOrPad
from dreamopt.image.transforms.flip import Flip as Flip
from dreamopt.image.transforms.gradient_mask import GradientMask as GradientMask
from dreamopt.image.transforms.jitter import Jitter as Jitter
from dreamopt.image.transforms.noise import Noise as Noise
from dreamopt.image.transforms.normal_crop import NormalCrop as NormalCrop
from dreamopt.image.transforms.pad import Pad as Pad
from dreamopt.image.transforms.random_crop_resize import RandomCropResize as RandomCropResize
from dreamopt.image.transforms.resize import Resize as Resize
from dreamopt.image.transforms.rotate import Rotate as Rotate
from dreamopt.image.transforms.scale import Scale as Scale
from dreamopt.image.transforms.translate import Translate as Translate

NAMES: LazyNames
__all__ = [
    "Affine",
    "Alpha",
    "Blur",
    "CPPN",
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
