"""Regularizers, one a file; the file's name is the regularizer's name in strings and on the command line."""

if __name__ != "dreamopt.regularizers":
    # The folder also stands at the repository's top: imported from there, every class would exist a second time.
    raise ImportError(f"import this package as dreamopt.regularizers, not as {__name__}")

from dreamopt.regularizers.decay import Decay
from dreamopt.regularizers.gaussian_blur import GaussianBlur
from dreamopt.regularizers.l2 import L2
from dreamopt.regularizers.total_variation import TotalVariation

__all__ = ["L2", "Decay", "GaussianBlur", "TotalVariation"]
