"""From the rows of a study to all that its report says."""

from dreamopt.study.analysis.results import Analysis, MeasureSummary, Pair, Saved, Scope, Standing, TrialResult, Tuning

__all__ = ["Analysis", "MeasureSummary", "Pair", "Saved", "Scope", "Standing", "TrialResult", "Tuning"]
