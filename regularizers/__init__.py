"""Regularizers, one a file; the file's name is the regularizer's name in strings and on the command line."""

if __name__ != "dreamopt.regularizers":
    # The folder also stands at the repository's top: imported from there, every class would exist a second time.
    raise ImportError(f"import this package as dreamopt.regularizers, not as {__name__}")

from dreamopt.regularizers.alpha_norm import AlphaNorm
from dreamopt.regularizers.bilateral import Bilateral
from dreamopt.regularizers.blur_difference import BlurDifference
from dreamopt.regularizers.boundary_complexity import BoundaryComplexity
from dreamopt.regularizers.centre_bias import CentreBias
from dreamopt.regularizers.decay import Decay
from dreamopt.regularizers.gaussian_blur import GaussianBlur
from dreamopt.regularizers.l1 import L1
from dreamopt.regularizers.l2 import L2
from dreamopt.regularizers.linf import Linf
from dreamopt.regularizers.lp_norm import LpNorm
from dreamopt.regularizers.mean_colour import MeanColour
from dreamopt.regularizers.norm_ball import NormBall
from dreamopt.regularizers.range_clip import RangeClip
from dreamopt.regularizers.small_contribution import SmallContribution
from dreamopt.regularizers.small_norm import SmallNorm
from dreamopt.regularizers.small_value import SmallValue
from dreamopt.regularizers.spectral import Spectral
from dreamopt.regularizers.stencil import Stencil
from dreamopt.regularizers.total_variation import TotalVariation
from dreamopt.regularizers.tv_bregman import TvBregman
from dreamopt.regularizers.wavelet import Wavelet
from dreamopt.regularizers.window import Window

__all__ = [
    "L1",
    "L2",
    "AlphaNorm",
    "Bilateral",
    "BlurDifference",
    "BoundaryComplexity",
    "CentreBias",
    "Decay",
    "GaussianBlur",
    "Linf",
    "LpNorm",
    "MeanColour",
    "NormBall",
    "RangeClip",
    "SmallContribution",
    "SmallNorm",
    "SmallValue",
    "Spectral",
    "Stencil",
    "TotalVariation",
    "TvBregman",
    "Wavelet",
    "Window",
]
