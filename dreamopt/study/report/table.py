"""The table of contestants as plain records."""

from __future__ import annotations

from typing import Any

from dreamopt.errors import UsageError, in_brackets, suggest
from dreamopt.study.analysis import Analysis


def standing_records(analysis: Analysis, net: str | None = None) -> list[dict[str, Any]]:
    """Return one record of each contestant, the best first and the reference last.

    Raises
    ------
    UsageError
        For a net that the study does not have.
    """
    names = [scope.name for scope in analysis.scopes]
    if net is not None and net not in names:
        raise UsageError(f"the study has no net '{net}'{in_brackets(suggest(net, names, 1))}; it has {', '.join(names)}")
    scope = analysis.overall if net is None else analysis.scopes[names.index(net)]
    standings = [*(scope.standing(name) for name in scope.ranking), *(one for one in scope.standings if one.reference)]
    axes = list(dict.fromkeys(axis for one in standings for axis in one.trial))
    measures = list(dict.fromkeys(name for one in standings for name in one.measures))
    records = []
    for one in standings:
        pair = next((pair for pair in scope.pairs if (pair.first, pair.second) == (one.contestant, analysis.reference)), None)
        difference = None if pair is None else pair.difference
        records.append(
            {
                "contestant": one.contestant,
                "value": one.iqm.value,
                "low": one.iqm.low,
                "high": one.iqm.high,
                "difference": None if difference is None else difference.value,
                "difference_low": None if difference is None else difference.low,
                "difference_high": None if difference is None else difference.high,
                "p": None if pair is None else pair.corrected,
                "rank": one.mean_rank,
                "runs": one.runs,
                "failures": one.failures,
                "state": one.state,
            }
            | {f"trial.{axis}": one.trial.get(axis) for axis in axes}
            | {f"median.{name}": one.measures[name].median.value if name in one.measures else None for name in measures}
        )
    return records
