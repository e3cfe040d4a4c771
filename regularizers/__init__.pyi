# Written by make docs.
from dreamopt.parts.lazy import LazyNames
from dreamopt.regularizers.alpha_norm import AlphaNorm as AlphaNorm
from dreamopt.regularizers.bilateral import Bilateral as Bilateral
from dreamopt.regularizers.blur_difference import BlurDifference as BlurDifference
from dreamopt.regularizers.boundary_complexity import BoundaryComplexity as BoundaryComplexity
from dreamopt.regularizers.centre_bias import CentreBias as CentreBias
from dreamopt.regularizers.decay import Decay as Decay
from dreamopt.regularizers.gaussian_blur import GaussianBlur as GaussianBlur
from dreamopt.regularizers.l1 import L1 as L1
from dreamopt.regularizers.l2 import L2 as L2
from dreamopt.regularizers.linf import Linf as Linf
from dreamopt.regularizers.lp_norm import LpNorm as LpNorm
from dreamopt.regularizers.masked import Masked as Masked
from dreamopt.regularizers.mean_colour import MeanColour as MeanColour
from dreamopt.regularizers.norm_ball import NormBall as NormBall
from dreamopt.regularizers.range_clip import RangeClip as RangeClip
from dreamopt.regularizers.share import Share as Share
from dreamopt.regularizers.small_contribution import SmallContribution as SmallContribution
from dreamopt.regularizers.small_norm import SmallNorm as SmallNorm
from dreamopt.regularizers.small_value import SmallValue as SmallValue
from dreamopt.regularizers.spectral import Spectral as Spectral
from dreamopt.regularizers.stencil import Stencil as Stencil
from dreamopt.regularizers.total_variation import TotalVariation as TotalVariation
from dreamopt.regularizers.tv_bregman import TvBregman as TvBregman
from dreamopt.regularizers.wavelet import Wavelet as Wavelet
from dreamopt.regularizers.window import Window as Window

NAMES: LazyNames
__all__ = [
    "AlphaNorm",
    "Bilateral",
    "BlurDifference",
    "BoundaryComplexity",
    "CentreBias",
    "Decay",
    "GaussianBlur",
    "L1",
    "L2",
    "Linf",
    "LpNorm",
    "Masked",
    "MeanColour",
    "NormBall",
    "RangeClip",
    "Share",
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
