"""What is computed of a comparison's numbers, a study's or that of attribution methods, with numpy and scipy alone.

Arrays are laid out (contestants, units, seeds). Larger is better everywhere. A failed run is minus infinity, and counts; a run that was not
made is not a number, and is in no mean.
"""

from dreamopt.statistics.bootstrap import Draws, estimate, interval_of
from dreamopt.statistics.curves import Band, Curve, bands, ecdf, values_at
from dreamopt.statistics.numbers import NO_ESTIMATE, Estimate, difference, iqm, json_number, mean, median, quantile
from dreamopt.statistics.pairs import friedman, improvement, mean_ranks, win_share
from dreamopt.statistics.profiles import data_profile, integrated_score, performance_profile, performance_ratios
from dreamopt.statistics.runtimes import Ert, expected_runtime, first_reached, run_lengths, running_best, targets_of
from dreamopt.statistics.sensitivity import Sensitivity, flat_part, sensitivity
from dreamopt.statistics.signed_rank import SignedRank, bonferroni, holm, is_behind, signed_rank, units_needed

__all__ = [
    "NO_ESTIMATE",
    "Band",
    "Curve",
    "Draws",
    "Ert",
    "Estimate",
    "Sensitivity",
    "SignedRank",
    "bands",
    "bonferroni",
    "data_profile",
    "difference",
    "ecdf",
    "estimate",
    "expected_runtime",
    "first_reached",
    "flat_part",
    "friedman",
    "holm",
    "improvement",
    "integrated_score",
    "interval_of",
    "iqm",
    "is_behind",
    "json_number",
    "mean",
    "mean_ranks",
    "median",
    "performance_profile",
    "performance_ratios",
    "quantile",
    "run_lengths",
    "running_best",
    "sensitivity",
    "signed_rank",
    "targets_of",
    "units_needed",
    "values_at",
    "win_share",
]
