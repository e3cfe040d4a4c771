"""What an analysis says of rows whose numbers are known."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from dreamopt.errors import UsageError
from dreamopt.recipes.settings import Settings
from dreamopt.study.analysis import Analysis, MeasureFacts, analyse
from dreamopt.study.axis import Axis
from dreamopt.study.budget import Budget
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Row, Trace

UNITS = tuple(f"conv:{u}" for u in range(8))
FACTS = {
    "held_out": MeasureFacts("the objective's"),
    "seconds": MeasureFacts("seconds", "lower"),
    "spread": MeasureFacts("1", "higher", lambda vectors: float(np.ptp([vector[0] for vector in vectors]))),
}


def request(names: str = "ab", units: tuple[str, ...] = UNITS, **more: Any) -> Request:
    net = StudyNet("squeezenet", {}, {}, units, ("tune:1", "tune:2"), (32, 24))
    contestants = tuple(Contestant(name, Settings()) for name in names)
    fields: dict[str, Any] = {"seeds": 2, "measures": tuple(FACTS)}
    return Request("Which", (net,), contestants, Contestant("default", Settings()), Budget(64), **fields | more)


def row(who: str, unit: str, number: int, value: float | None, **more: Any) -> Row:
    phase = "reference" if who == "default" else "score"
    done = value is not None
    trace = (
        Trace((0, 8, 16, 64), (0.0, 1.0, 2.0, 8.0), (2.0, 2.0 + (value - 2) / 4, 2.0 + (value - 2) / 2, value))
        if value is not None
        else Trace()
    )
    fields: dict[str, Any] = {
        "evaluations": 64 if done else 5,
        "measures": {"held_out": value, "seconds": 8.0} if done else {},
        "trace": trace,
        "machine": {"cpu": "one", "device": "cpu", "threads": 1},
        "features": {"spread": (float(number) * 3,)} if done else {},
    }
    return Row("", phase, "squeezenet", who, {}, unit, number, number, "done" if done else "failed", **fields | more)  # type: ignore[arg-type]  # of two


def rows(qualities: dict[str, float], units: tuple[str, ...] = UNITS, seeds: int = 2) -> list[Row]:
    """Return runs that start at 2 and reach, on unit u, (2 + 10 (1 + u / 100) quality) whatever the seed."""
    return [
        row(who, unit, s, 2 + 10 * (quality + (who != "default") * u / 100))
        for who, quality in qualities.items()
        for u, unit in enumerate(units)
        for s in range(seeds)
    ]


def analysed(asked: Request, those: list[Row], **more: Any) -> Analysis:
    return analyse(asked, those, measures=FACTS, **{"resamples": 300} | more)


def test_the_common_scale_and_the_numbers_by_hand() -> None:
    analysis = analysed(request(), rows({"a": 1.5, "b": 1.2, "default": 1.0}))
    scope = analysis.overall
    a = scope.standing("a")
    assert list(a.values.values()) == pytest.approx([1.5 + u / 100 for u in range(8)])
    assert a.iqm.value == pytest.approx(1.535)
    assert a.median.value == pytest.approx(1.535)
    pair = scope.pair("a", "b")
    assert pair.difference.value == pytest.approx(0.3)
    assert (pair.p, pair.corrected, pair.wins, pair.improvement) == (2**-7, 2**-7, 1.0, 1.0)
    assert scope.pair("b", "a").difference.value == pytest.approx(-0.3)
    assert scope.pair("a", "default").difference.value == pytest.approx(0.535)
    assert analysis.winner == "a"
    assert analysis.verdict == (
        "a is better than b (+0.30 of the reference's gain, 95 % interval 0.30 to 0.30; corrected p = 0.008), on 8 units of squeezenet."
    )
    assert (a.mean_rank, scope.standing("b").mean_rank) == (1.0, 2.0)
    assert scope.win_matrix(("a", "b")) == ((0.5, 1.0), (0.0, 0.5))
    assert a.measures["seconds"].median.value == 8.0
    assert a.measures["spread"].median.value == 3.0
    assert scope.ranking == ("a", "b")


def test_runtimes_by_hand() -> None:
    scope = analysed(request(), rows({"a": 2.5, "b": 1.0, "default": 1.0})).overall
    # the reference reaches a quarter of its way at 8, half of it at 16, and no more until 64: targets 8, 16, 32, 64
    assert scope.targets == (8, 16, 32, 64)
    assert [ert.value for ert in scope.standing("a").ert] == [8, 8, 8, 16]
    assert [ert.value for ert in scope.standing("b").ert] == [8, 16, 16, 64]
    assert scope.ecdf["evaluations"]["a"].at(8) == 0.75
    assert scope.ecdf["seconds"]["b"].at(2) == 0.75
    ratios_of_b = [1, 2, 2, 4]
    assert [scope.profiles["evaluations"]["b"].at(tau) for tau in (1, 2, 4)] == [
        np.mean([r <= tau for r in ratios_of_b]) for tau in (1, 2, 4)
    ]
    assert scope.standing("b").score["evaluations"] == pytest.approx(np.mean([(4 - r) / 3 for r in ratios_of_b]))
    assert scope.pair_profiles["evaluations"]["a against b"].at(1) == 1.0
    assert scope.data_profiles["0.5"]["a"].at(16) == 1.0
    assert scope.data_profiles["0.5"]["b"].at(64) == 0.0
    band = scope.convergence["evaluations"]["default"]
    assert dict(zip(band.x, band.middle, strict=True))[64.0] == 1.0
    assert band.runs == 16


def test_a_failed_run_counts_as_infinitely_bad_everywhere() -> None:
    those = rows({"a": 1.5, "b": 1.2, "default": 1.0})
    those = [row("a", one.unit, one.number, None) if (one.contestant, one.unit, one.number) == ("a", "conv:7", 1) else one for one in those]
    analysis = analysed(request(), those)
    a = analysis.overall.standing("a")
    assert (a.runs, a.failures) == (16, 1)
    assert a.values["conv:7"] == -math.inf
    assert analysis.overall.pair("a", "b").differences["conv:7"] == -math.inf
    assert analysis.overall.pair("a", "b").wins == 15 / 16
    assert analysis.overall.standing("a").ert[0].value == (15 * 8 + 5) / 15
    assert analysis.winner is None  # the lost unit has the highest rank: p = 2 (1 + 8) / 2^8 or more
    assert analysis.overall.convergence["evaluations"]["a"].runs == 16
    assert "a has 1 failed run of 16, which count as infinitely bad." in analysis.notes
    json.dumps(analysis.describe(), allow_nan=False)


def test_all_failed() -> None:
    those = [
        one if one.contestant == "default" else row(one.contestant, one.unit, one.number, None)
        for one in rows({"a": 1.0, "b": 1, "default": 1})
    ]
    analysis = analysed(request(), those)
    assert analysis.winner is None
    assert analysis.overall.standing("a").iqm.value == -math.inf
    assert analysis.overall.pair("a", "b").difference.value == 0.0
    assert analysis.overall.standing("b").ert[0].value == math.inf
    json.dumps(analysis.describe(), allow_nan=False)


def test_where_the_reference_is_not_above_the_start_the_best_known_is_one() -> None:
    analysis = analysed(request(), rows({"a": 2.0, "b": 1.0, "default": -1.0}))
    assert analysis.overall.standing("a").values["conv:0"] == 1.0
    assert analysis.overall.standing("b").values["conv:0"] == 0.5
    assert any("the reference is not above the start there" in note.lower() for note in analysis.notes)


def test_few_units_have_no_winner_and_it_is_said() -> None:
    analysis = analysed(request(units=UNITS[:5]), rows({"a": 3.0, "b": 1.0, "default": 1.0}, UNITS[:5]))
    assert analysis.winner is None
    assert analysis.verdict.startswith("No winner: 5 units are too few: at least 6 are needed to name one of 2 contestants.")
    six = analysed(request("abcdef"), rows(dict(zip("abcdef", (3, 1, 1.1, 1.2, 1.3, 1.4), strict=True)) | {"default": 1.0}))
    assert six.winner == "a"  # on 8 units 5 / 2^7 = .039
    assert six.overall.pair("a", "b").corrected == pytest.approx(5 / 128)


def test_those_that_cannot_be_distinguished_and_those_that_are_worse() -> None:
    those = rows({"a": 1.5, "b": 1.5, "c": 1.0, "default": 1.0})
    analysis = analysed(request("abc"), those)
    assert analysis.winner is None
    assert analysis.overall.alike == ("a", "b")
    assert "a and b cannot be distinguished (a less b: +0.00" in analysis.verdict
    assert analysis.verdict.endswith("c is worse than a.")


def test_a_study_under_way_has_no_winner_yet() -> None:
    those = [one for one in rows({"a": 1.5, "b": 1.2, "default": 1.0}) if one.contestant != "b" or one.number == 0]
    analysis = analysed(request(), those)
    assert analysis.winner is None
    assert not analysis.complete
    assert analysis.verdict == "No winner yet: there are 8 of 16 runs of b only. So far a is ahead."
    assert analysed(request(), []).verdict == "No winner yet: there are no scored runs of a and b."
    json.dumps(analysed(request(), those[:1]).describe(), allow_nan=False)


def test_one_that_was_raced_off_is_compared_on_the_units_that_it_has() -> None:
    units = tuple(f"conv:{u}" for u in range(12))
    those = [one for one in rows({"a": 1.5, "b": 1.2, "default": 1.0}, units) if one.contestant != "b" or one.unit in units[:9]]
    analysis = analysed(request(race=True, units=units), those)
    assert analysis.overall.standing("b").state == "raced off"
    pair = analysis.overall.pair("a", "b")
    assert (pair.units, pair.p, pair.corrected) == (9, 2**-8, 4 * 2**-8)  # the moment of judging was chosen among four
    assert analysis.winner == "a"
    assert (analysis.saved.scored_runs, analysis.saved.evaluations) == (6, 384)
    assert math.isnan(analysis.overall.standing("b").mean_rank)


def test_seconds_are_of_one_machine_and_repeated_rows_count_once() -> None:
    those = rows({"a": 1.5, "b": 1.2, "default": 1.0})
    other = dataclasses.replace(row("a", UNITS[0], 0, 17.0), machine={"cpu": "two"})
    other = dataclasses.replace(other, measures={"held_out": 17.0, "seconds": 1000.0})
    those = [other if (one.contestant, one.unit, one.number) == ("a", UNITS[0], 0) else one for one in those]
    analysis = analysed(request(), those + those[:3])
    assert analysis.overall.standing("a").measures["seconds"].runs == 15
    assert analysis.machines == ("one, cpu, 1 thread", "two")
    assert "Runs are of 2 machines: seconds are those of one, cpu, 1 thread alone, 1 run left out." in analysis.notes
    assert "3 rows stood twice and counted once." in analysis.notes
    assert analysis.overall.standing("a").runs == 16


def test_units_to_which_the_criterion_does_not_apply_are_left_out_for_all() -> None:
    those = rows({"a": 1.5, "b": 1.2, "default": 1.0})
    those = [dataclasses.replace(one, measures={**one.measures, "held_out": None}) if one.unit == UNITS[0] else one for one in those]
    analysis = analysed(request(), those)
    assert analysis.overall.units == 7
    assert analysis.overall.standing("a").failures == 0
    assert "held_out does not apply to 1 unit, left out for all." in analysis.notes


def test_several_nets_are_strata_and_have_scopes_of_their_own() -> None:
    asked = request()
    asked = dataclasses.replace(asked, nets=(*asked.nets, dataclasses.replace(asked.nets[0], name="tiny")))
    those = rows({"a": 1.5, "b": 1.2, "default": 1.0})
    analysis = analysed(asked, those + [dataclasses.replace(one, net="tiny") for one in rows({"a": 1.0, "b": 1.2, "default": 1.0})])
    assert [(scope.name, scope.units, scope.winner) for scope in analysis.scopes] == [
        ("all nets", 16, None),
        ("squeezenet", 8, "a"),
        ("tiny", 8, "b"),
    ]
    assert analysis.overall.pair("a", "b").difference.value == pytest.approx(0.05)  # of eight 0.3 and eight -0.2, the middle half


def test_a_measure_that_is_better_lower_wins_by_being_lower() -> None:
    asked = request(criterion="seconds")
    those = [
        dataclasses.replace(one, measures={"seconds": 8.0 - (one.contestant == "a")}) for one in rows({"a": 1.0, "b": 1.0, "default": 1.0})
    ]
    analysis = analysed(asked, those)
    assert analysis.winner == "a"
    assert analysis.overall.standing("a").iqm.value == 7.0
    assert analysis.overall.pair("a", "b").difference.value == 1.0
    assert "a is better than b (+1.00 seconds, " in analysis.verdict


def test_tuning_says_what_was_tried_and_where_it_ended() -> None:
    asked = request()
    tuned = Contestant("a", Settings(), (Axis("optimizer.step_size", 1, 4),))
    asked = dataclasses.replace(asked, contestants=(tuned, asked.contestants[1]))
    those = [
        dataclasses.replace(one, trial={"optimizer.step_size": 4.0}) if one.contestant == "a" else one
        for one in rows({"a": 1.5, "b": 1, "default": 1})
    ]
    for step, value in ((1.0, 4.0), (2.0, 7.0), (4.0, 12.0)):
        for unit in ("tune:1", "tune:2")[: 1 if step == 1 else 2]:
            those += [dataclasses.replace(row("a", unit, 0, value), phase="tune", trial={"optimizer.step_size": step})]
    analysis = analysed(asked, those)
    [tuning] = analysis.tuning
    assert [(trial.value, trial.chosen, trial.stopped) for trial in tuning.trials] == [
        (0.2, False, True),
        (0.5, False, False),
        (1.0, True, False),
    ]
    [axis] = tuning.sensitivity
    assert (axis.values, axis.middle, axis.at_end) == ((1.0, 2.0, 4.0), (0.2, 0.5, 1.0), True)
    assert axis.flat == pytest.approx(0.25)
    assert analysis.saved.tuning_runs == 1
    assert analysis.verdict.endswith("on 8 units of squeezenet that nobody was tuned on.")
    assert any("a was tuned to optimizer.step_size = 4, an end of its range" in note for note in analysis.notes)
    assert "b took part as it is, untuned; the others were tuned." in analysis.notes


def test_a_criterion_must_have_a_better_direction() -> None:
    with pytest.raises(UsageError, match="spread compares a unit's images with each other: it cannot choose a winner"):
        analysed(request(criterion="spread"), [])
    with pytest.raises(UsageError, match="the confidence of intervals must be"):
        analysed(request(), [], confidence=1.0)


def test_the_same_rows_in_any_order_give_the_same_analysis() -> None:
    those = rows({"a": 1.5, "b": 1.4, "default": 1.0})
    assert analysed(request(), those).describe() == analysed(request(), those[::-1]).describe()
