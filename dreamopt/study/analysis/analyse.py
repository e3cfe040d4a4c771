"""From rows to results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dreamopt.errors import UsageError
from dreamopt.parts.checks import Range, check_number, check_whole
from dreamopt.study.analysis.facts import OBJECTIVE, MeasureFacts, facts_of
from dreamopt.study.analysis.notes import notes_of
from dreamopt.study.analysis.results import Analysis
from dreamopt.study.analysis.scoping import OF_REFERENCE, Method, Scoping, normalized
from dreamopt.study.analysis.table import sort_rows
from dreamopt.study.analysis.tuning import saved_by_racing, tuning_of

if TYPE_CHECKING:
    from dreamopt.study.request import Request
    from dreamopt.study.run import Row

RESAMPLES = 2000
SEED = 20260101


def analyse(
    request: Request,
    rows: Iterable[Row],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    measures: Mapping[str, MeasureFacts] | None = None,
) -> Analysis:
    """Return all that a study's rows say; of a study under way, what they say so far.

    Parameters
    ----------
    request : Request
        What was compared.
    rows : iterable of Row
        In any order, of one machine or several; a run that is there twice counts once.
    confidence : float
        Of intervals, between 0 and 1; tests are made at 1 - confidence.
    resamples : int
        Of bootstraps, at least 1.
    seed : int
        Of bootstraps: the same rows give the same analysis.
    measures : mapping of str to MeasureFacts, optional
        What there is to know of the measures; where nothing is said, what the measures of these names say.

    Raises
    ------
    UsageError
        For a criterion of which neither direction is better, or one that is not measured.

    Examples
    --------
    >>> from dreamopt.recipes.settings import Settings
    >>> from dreamopt.study.budget import Budget
    >>> from dreamopt.study.request import Contestant, Request, StudyNet
    >>> from dreamopt.study.run import Row
    >>> net = StudyNet("tiny", {}, {}, tuple(f"conv2:{unit}" for unit in range(8)), (), (32, 32))
    >>> contestants = Contestant("a", Settings()), Contestant("b", Settings())
    >>> request = Request("Which", (net,), contestants, Contestant("default", Settings()), Budget(64), seeds=1)
    >>> values = {"a": 3.0, "b": 2.0, "default": 2.5}
    >>> rows = [
    ...     Row("", "reference" if who == "default" else "score", "tiny", who, {}, unit, 0, 0, "done", measures={"held_out": value})
    ...     for who, value in values.items() for unit in net.units
    ... ]
    >>> print(analyse(request, rows).verdict)
    a is better than b (+0.40 of the reference's gain, 95 % interval 0.40 to 0.40; corrected p = 0.008), on 8 units of tiny.
    """
    confidence = check_number("the confidence of intervals", confidence, Range(0, 1, above=True, below=True))
    method = Method(confidence, check_whole("the number of resamples", resamples), seed)
    names = tuple(dict.fromkeys((request.criterion, *request.measures)))
    facts = {name: one for name, one in (facts_of(names) if measures is None else measures).items() if name in names}
    if request.criterion not in facts:
        raise UsageError(f"the criterion {request.criterion} is none of the measures {', '.join(facts)}")
    criterion = facts[request.criterion]
    if criterion.better == "neither" or criterion.compare is not None:
        why = "compares a unit's images with each other" if criterion.compare is not None else "is better neither higher nor lower"
        raise UsageError(f"the criterion {request.criterion} {why}: it cannot choose a winner")
    ordered = sort_rows(request, rows)
    scoping = Scoping(request, ordered, facts, method)
    nets = [net.name for net in request.nets]
    scopes = [scoping.scope("all nets" if len(nets) > 1 else nets[0], nets)]
    if len(nets) > 1:
        scopes += [scoping.scope(net, [net]) for net in nets]
    tuning = tuning_of(request, ordered, criterion)
    _, scales = normalized(ordered.table, ordered.table.values(request.criterion, criterion), criterion)
    return Analysis(
        request.title,
        request.criterion,
        OF_REFERENCE if criterion.unit == OBJECTIVE else criterion.unit,
        criterion.better,
        str(request.budget),
        criterion.unit == OBJECTIVE,
        tuple(one.name for one in request.contestants),
        request.reference.name,
        confidence,
        method.resamples,
        seed,
        tuple(scopes),
        tuning,
        saved_by_racing(request, tuning, scopes[0].standings, ordered),
        ordered.table.machines,
        all(one.state in ("complete", "raced off") for one in scopes[0].standings),
        notes_of(request, ordered, scopes[0], tuning, scales, facts),
    )
