"""Schedules with rows made by a function: what is run, what is stopped, what is chosen, and that it is the same after an interrupt."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dreamopt.parts.schedule import Linear
from dreamopt.recipes.settings import Settings
from dreamopt.study.axis import Axis
from dreamopt.study.budget import Budget
from dreamopt.study.outcome import Outcome
from dreamopt.study.proposals import grid_points, random_points
from dreamopt.study.proposals.sequential import propose
from dreamopt.study.racing import cuts, quarters
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Row, Run, Trace
from dreamopt.study.schedule import outcome_of, plan_count, schedule, seed_of

STEP = "optimizer.step_size"
Value = Callable[[Run, float], float]


def study(units: int = 6, tuning: int = 8, names: Sequence[str] = ("adam", "ascent"), **more: Any) -> Request:
    net = StudyNet(
        "net",
        {"net": "net.prototxt"},
        {"weights_sha256": "0" * 64},
        tuple(f"conv:{unit}" for unit in range(units)),
        tuple(f"conv:{100 + unit}" for unit in range(tuning)),
        (20, 24),
    )
    contestants = tuple(
        Contestant(name, Settings(optimizer=name.partition(" ")[0]), (Axis(STEP, 0.5, 8),) if name != "scipy" else ()) for name in names
    )
    fields: dict[str, Any] = {"budget": Budget(64), "measures": ("held_out",), "seeds": 2}
    return Request("a study", (net,), contestants, Contestant("default", Settings()), **fields | more)


def peak(best: float) -> Value:
    """Return a value that is highest at a step size, with noise that belongs to the unit and the run."""
    return lambda run, noise: 10 - abs(math.log2(run.trial.get(STEP, 2) / best)) * 2 + noise


def row_of(run: Run, value: Value) -> Row:
    noise = np.random.default_rng([run.number, int(run.unit.rpartition(":")[2]), len(run.contestant)]).normal(0, 0.1)
    number = value(run, float(noise)) if run.phase != "reference" else 11.0
    done = number > -math.inf
    return Row.of(
        run,
        "done" if done else "failed",
        evaluations=64,
        measures={"held_out": number if done else None},
        trace=Trace((0, 64), (0.0, 1.0), (1.0, number if done else 1.0)),
    )


def play(request: Request, value: Value, rounds: list[list[Run]] | None = None) -> tuple[Outcome, list[Run], list[Row]]:
    steps, runs, rows = schedule(request), list[Run](), list[Row]()
    made = next(steps)
    while True:
        if rounds is not None:
            rounds.append(made)
        got = [row_of(run, value) for run in made]
        runs += made
        rows += got
        try:
            made = steps.send(got)
        except StopIteration as end:
            return end.value, runs, rows


def test_the_best_trial_of_each_contestant_is_scored() -> None:
    request = study()

    def value(run: Run, noise: float) -> float:
        return peak(4 if run.contestant == "adam" else 1)(run, noise)

    outcome, runs, _ = play(request, value)
    assert outcome.chosen == {"adam": {STEP: 4.0}, "ascent": {STEP: 1.0}}
    assert outcome.at_end == ()
    scored = [run for run in runs if run.phase == "score"]
    assert len(scored) == 2 * 6 * 2
    assert {(run.contestant, run.settings.optimizer.step_size) for run in scored} == {("adam", Linear(4, 0.125)), ("ascent", 1)}  # type: ignore[attr-defined]  # both have one
    chosen = [one for one in outcome.trials if one.chosen]
    # On the common scale: (10 - 1) / (11 - 1) without the noise of .1.
    assert [one.score for one in chosen] == pytest.approx([0.9, 0.9], abs=0.03)
    assert sum(one.chosen for one in outcome.trials) == 2


def test_blocks_are_paired() -> None:
    _, runs, _ = play(study(names=("adam", "ascent", "scipy")), peak(2))
    seeds: dict[tuple[str, int], set[int]] = {}
    for run in runs:
        seeds.setdefault((run.unit, run.number), set()).add(run.settings.seed)
    assert len(seeds) == 6 * 2 + 8
    assert {len(found) for found in seeds.values()} == {1}
    scored = {run.settings.seed for run in runs if run.phase == "score"}
    tuning = {run.settings.seed for run in runs if run.phase == "tune"}
    assert (len(scored), len(tuning), scored & tuning) == (2, 1, set())
    assert {run.unit for run in runs if run.phase == "tune"} & {run.unit for run in runs if run.phase == "score"} == set()
    assert {(run.settings.size, run.size) for run in runs} == {((20, 24), (20, 24))}
    # Each block's contestants stand together, in an order of their own.
    order = [(run.unit, run.number, run.contestant) for run in runs if run.phase == "score"]
    blocks = [order[k : k + 3] for k in range(0, len(order), 3)]
    assert all(len({one[:2] for one in block}) == 1 and {one[2] for one in block} == {"adam", "ascent", "scipy"} for block in blocks)
    assert len({tuple(one[2] for one in block) for block in blocks}) > 1
    assert [block[0][0] for block in blocks] != sorted(block[0][0] for block in blocks)


def test_losing_trials_are_stopped_and_the_best_is_not() -> None:
    outcome, runs, _ = play(study(tuning=12), peak(2))
    stopped = {(one.contestant, one.trial[STEP]) for one in outcome.trials if one.stopped}
    assert stopped == {(name, step) for name in ("adam", "ascent") for step in (0.5, 1, 4, 8)}
    # At the first look, after four blocks of twelve.
    assert {one.runs for one in outcome.trials if one.stopped} == {4}
    assert outcome.runs_saved == 2 * 4 * 8
    assert outcome.evaluations_saved == outcome.runs_saved * 64
    assert len([run for run in runs if run.phase == "tune"]) == 2 * (4 * 4 + 12)
    assert plan_count(study(tuning=12)) == 12 * 3 + 12 * (1 + 10) == len(runs) + outcome.runs_saved


def test_equal_trials_are_all_run_and_the_first_is_chosen() -> None:
    outcome, runs, _ = play(study(), lambda run, noise: 5.0)
    assert outcome.chosen["adam"] == {STEP: 0.5}
    assert (outcome.runs_saved, len(runs)) == (0, plan_count(study()))
    assert outcome.at_end == ("adam: optimizer.step_size 0.5", "ascent: optimizer.step_size 0.5")


def test_failures_are_worse_than_anything() -> None:
    def value(run: Run, noise: float) -> float:
        fails = run.phase == "tune" and run.trial[STEP] == 2 and run.unit in ("conv:100", "conv:101", "conv:102", "conv:103", "conv:104")
        return -math.inf if fails else peak(2)(run, noise)

    outcome, _, _ = play(study(tuning=8), value)
    assert outcome.chosen["adam"][STEP] in (1.0, 4.0)
    two = next(one for one in outcome.trials if one.trial == {STEP: 2.0})
    assert not two.chosen


def test_a_lower_criterion_is_better() -> None:
    request = study(criterion="total_variation", measures=("total_variation",))

    def value(run: Run, noise: float) -> float:
        return 20 - peak(4)(run, noise)

    steps = schedule(request)
    made = next(steps)
    chosen = set()
    while True:
        rows = [row_of(run, value) for run in made]
        chosen |= {(run.contestant, run.trial[STEP]) for run in made if run.phase == "score"}
        try:
            made = steps.send([replace(row, measures={"total_variation": row.measures["held_out"]}) for row in rows])
        except StopIteration:
            break
    assert chosen == {("adam", 4.0), ("ascent", 4.0)}


def test_a_contestant_without_a_number_takes_part_as_it_is() -> None:
    outcome, runs, _ = play(study(names=("adam", "scipy")), peak(2))
    assert outcome.chosen["scipy"] == {}
    assert "scipy" not in {run.contestant for run in runs if run.phase == "tune"}
    assert len([run for run in runs if run.contestant == "scipy"]) == 12


def test_nobody_tuned_means_no_tuning_runs() -> None:
    request = replace(study(), contestants=(Contestant("a", Settings()), Contestant("b", Settings(optimizer="ascent"))))
    outcome, runs, _ = play(request, peak(2))
    assert {run.phase for run in runs} == {"reference", "score"}
    assert outcome.trials == ()


@pytest.mark.parametrize("search", ["grid", "random", "sequential"])
@pytest.mark.parametrize("race", [False, True])
def test_rows_of_before_lead_to_the_same_runs(search: str, race: bool) -> None:
    if search == "sequential":
        pytest.importorskip("optuna")
    request = study(search=search, race=race, trials=6, names=("adam", "ascent", "adam two"))
    rounds: list[list[Run]] = []
    outcome, runs, rows = play(request, peak(3), rounds)
    again, same, _ = play(request, peak(3))
    assert (again.describe(), [run.key for run in same]) == (outcome.describe(), [run.key for run in runs])
    assert outcome_of(request, rows) is not None
    assert json.dumps(outcome_of(request, reversed(rows)).describe()) == json.dumps(outcome.describe())  # type: ignore[union-attr]  # it is there
    assert outcome_of(request, rows[:-1]) is None
    assert len(rounds) > 3
    # Another study has other starts, and other orders.
    _, others, _ = play(replace(request, seed=1), peak(3))
    assert {run.settings.seed for run in others}.isdisjoint(run.settings.seed for run in runs)


def test_a_race_stops_who_is_behind_beyond_chance() -> None:
    request = study(units=24, race=True, names=("adam", "ascent", "adam two"), seeds=1)

    def value(run: Run, noise: float) -> float:
        return peak(2)(run, noise) - (6 if run.contestant == "ascent" and run.phase == "score" else 0)

    outcome, runs, _ = play(request, value)
    assert outcome.raced_off == {"ascent": 12}  # six pairs reach 1/64, above .05 / (3 looks x 2 rivals); twelve pairs do not
    assert len([run for run in runs if run.contestant == "ascent" and run.phase == "score"]) == 12
    assert len([run for run in runs if run.contestant == "adam two" and run.phase == "score"]) == 24
    quiet, _, _ = play(replace(request, race=False), value)
    assert quiet.raced_off == {}


def test_equal_contestants_are_seldom_raced_off() -> None:
    stopped = 0
    for seed in range(60):
        request = study(units=24, race=True, names=("adam", "ascent", "adam two"), seeds=1, seed=seed, trials=1)
        request = replace(request, contestants=tuple(replace(one, axes=()) for one in request.contestants))
        rng = np.random.default_rng(seed)
        outcome, _, _ = play(request, lambda run, noise, rng=rng: 5 + float(rng.normal()))  # type: ignore[misc]  # a default binds it
        stopped += bool(outcome.raced_off)
    assert stopped <= 7  # of 60 at a level of .05: more by chance once in a hundred times


def test_looks() -> None:
    assert (cuts(3), cuts(4), cuts(6), cuts(12), cuts(24)) == ([3], [4], [4, 6], [4, 6, 8, 10, 12], [4, 9, 14, 19, 24])
    assert (quarters(36), quarters(8), quarters(5)) == ([9, 18, 27, 36], [6, 8], [5])


def test_seeds() -> None:
    assert len({seed_of(study, phase, number) for study in range(20) for phase in ("tune", "score") for number in range(20)}) == 800  # type: ignore[arg-type]  # both are phases


AXES = (Axis("optimizer.step_size", 0.5, 8), Axis("blend", 0, 1, log=False), Axis("views", 1, 9, log=False, whole=True))


def test_a_grid_of_several_axes_has_as_many_points_each_axis_evenly() -> None:
    points = grid_points(AXES, 5, seed=3)
    assert len(points) == 5
    assert sorted(point["optimizer.step_size"] for point in points) == [0.5, 1, 2, 4, 8]
    assert sorted(point["blend"] for point in points) == [0, 0.25, 0.5, 0.75, 1]
    assert sorted(point["views"] for point in points) == [1, 3, 5, 7, 9]
    assert grid_points(AXES, 5, seed=3) == points
    places = np.array([[point["blend"], (float(point["views"]) - 1) / 8] for point in points], dtype=float)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)[np.triu_indices(5, 1)]
    assert apart.min() > 0.3  # all on one diagonal would be .25 sqrt 2 = .35 apart, and fill nothing


def test_a_whole_table_of_listed_values() -> None:
    axes = (Axis("views", values=(1, 4)), Axis("transforms", values=("lucid", "pad(4)")))
    assert grid_points(axes, 5, seed=0) == [
        {"views": 1, "transforms": "lucid"},
        {"views": 1, "transforms": "pad(4)"},
        {"views": 4, "transforms": "lucid"},
        {"views": 4, "transforms": "pad(4)"},
    ]


def test_random_points() -> None:
    points = random_points(AXES, 40, seed=1)
    assert len(points) == 40
    steps = np.log2([float(point["optimizer.step_size"]) for point in points])
    assert -1 <= steps.min() < -0.5
    assert 2.5 < steps.max() <= 3
    assert steps.mean() == pytest.approx(1, abs=0.5)
    assert random_points((Axis("views", values=(1, 2)),), 9, seed=0) in ([{"views": 1}, {"views": 2}], [{"views": 2}, {"views": 1}])


def test_optuna_proposes_near_what_was_good_and_remembers_nothing() -> None:
    pytest.importorskip("optuna")
    axes = (Axis(STEP, 0.5, 128),)
    tried = [({STEP: float(2.0**k)}, -abs(k - 2.0)) for k in range(-1, 8)] * 3
    found = [float(propose(axes, tried, seed)[STEP]) for seed in range(12)]
    assert found == [float(propose(axes, tried, seed)[STEP]) for seed in range(12)]
    assert 1 < np.median(found) < 16
    assert all(0.5 <= value <= 128 for value in found)
    failed = [({STEP: 1.0}, -math.inf), ({STEP: 4.0}, 0.5)]
    assert propose(axes, failed, 0)[STEP] > 0


def test_a_sequential_search_finds_what_a_grid_misses() -> None:
    pytest.importorskip("optuna")
    request = study(search="sequential", trials=12, tuning=4)
    outcome, runs, _ = play(request, peak(1.3))
    trials = {one: [t for t in outcome.trials if t.contestant == one] for one in ("adam", "ascent")}
    assert [len(of) for of in trials.values()] == [12, 12]
    assert [t.trial[STEP] for t in trials["adam"][:4]] == [t.trial[STEP] for t in trials["ascent"][:4]] == [0.5, 1.26, 3.175, 8.0]
    assert len({json.dumps(dict(run.trial)) for run in runs if run.phase == "tune"}) > 12


def test_without_optuna_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamopt.study.proposals.sequential.find_spec", lambda name: None)
    with pytest.raises(Exception, match=r"a sequential search asks Optuna, which is not installed: pip install 'dreamopt\[search\]'"):
        next(iter(play(study(search="sequential"), peak(1))))
