"""From the rows of a study to all that its report says."""

from dreamopt.study.analysis.analyse import analyse
from dreamopt.study.analysis.facts import MeasureFacts, facts_of
from dreamopt.study.analysis.results import Analysis, MeasureSummary, Pair, Saved, Scope, Standing, TrialResult, Tuning

__all__ = [
    "Analysis",
    "MeasureFacts",
    "MeasureSummary",
    "Pair",
    "Saved",
    "Scope",
    "Standing",
    "TrialResult",
    "Tuning",
    "analyse",
    "facts_of",
]
