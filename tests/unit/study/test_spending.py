"""Budgets shared out among octaves and stages."""

import pytest

from dreamopt.errors import UsageError
from dreamopt.recipes.settings import Settings
from dreamopt.study.spending import least_evaluations, within_evaluations, within_seconds


def steps_of(settings: Settings) -> list[int]:
    return [settings.stage(number).steps for number in range(settings.runs)]


@pytest.mark.parametrize(
    ("settings", "amount", "steps"),
    [
        (Settings(steps=512), 256, [256]),
        (Settings(steps=10), 256, [256]),
        (Settings(steps=7, views=3), 256, [85]),  # 85 * 3 = 255
        (Settings(steps=64, octaves=4), 256, [64] * 4),
        (Settings(stages=[{"steps": 30}, {"steps": 10, "views": 2}]), 100, [60, 20]),
        (Settings(stages=[{"steps": 1000}, {"steps": 1}]), 10, [9, 1]),
        (Settings(stages=[{"steps": 1000}, {"steps": 1, "views": 4}, {"steps": 1}]), 8, [3, 1, 1]),
    ],
)
def test_steps_take_the_evaluations(settings: Settings, amount: int, steps: list[int]) -> None:
    spending = within_evaluations(settings, amount)
    assert steps_of(spending.settings) == steps
    assert spending.evaluations == ()


def test_what_is_not_of_steps_stays() -> None:
    before = Settings(octaves=2, tv=0.5, transforms=["flip()"], seed=4)
    after = within_evaluations(before, 20).settings
    described, other = before.describe(), after.describe()
    assert [stage["transforms"] for stage in other["stages"]] == [described["transforms"]] * 2
    assert [stage["regularizers"] for stage in other["stages"]] == [described["regularizers"]] * 2
    assert {name for name in other if other[name] != described[name]} == {"stages"}


@pytest.mark.parametrize(("amount", "steps"), [(1, 1), (2, 1), (3, 2), (11, 10), (12, 10), (13, 11), (22, 20)])
def test_a_search_gets_the_iterations_that_there_could_be(amount: int, steps: int) -> None:
    spending = within_evaluations(Settings(optimizer="lbfgs(resample_every=10)"), amount)
    assert (spending.settings.steps, spending.evaluations) == (steps, (amount,))


def test_searches_in_some_stages_limit_each() -> None:
    settings = Settings(stages=[{"steps": 30, "optimizer": "lbfgs"}, {"steps": 10, "views": 2}])
    assert within_evaluations(settings, 51).evaluations == (31, 20)


def test_too_small_a_budget_is_one_sentence() -> None:
    settings = Settings(octaves=3, views=4)
    assert least_evaluations(settings) == 12
    with pytest.raises(UsageError, match="a step of each of 3 octaves or stages takes 12 evaluations, but the budget is 11"):
        within_evaluations(settings, 11)
    with pytest.raises(UsageError, match=r"^a step takes 4 evaluations, but the budget is 3$"):
        within_evaluations(Settings(views=4), 3)


def test_seconds_become_steps_by_the_rates() -> None:
    settings = Settings(stages=[{"steps": 30}, {"steps": 10}])
    # 30 * 0.01 + 10 * 0.07 = 1 second; 0.95 of 4 seconds are planned for
    assert steps_of(within_seconds(settings, 4, [0.01, 0.07]).settings) == [114, 38]
    assert steps_of(within_seconds(settings, 0.001, [0.01, 0.07]).settings) == [1, 1]
