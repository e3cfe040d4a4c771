"""What a user says of contestants: lists, ranges, what is tuned by default, and what is refused."""

import re
import warnings
from typing import Any

import pytest

from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError
from dreamopt.study.request import Contestant
from dreamopt.study.words.contestants import axes_words, contestants_of, default_budget
from dreamopt.study.words.said import Said, SaidContestant
from dreamopt.study.words.values import Span, read_varied, varied


def said(*vary: str, tune: tuple[str, ...] = (), **more: Any) -> Said:
    return Said(
        vary=tuple(read_varied(text, "--vary") for text in vary),
        tune=tuple(read_varied(text, "--tune", bare=True) for text in tune),
        **more,
    )


def made(*vary: str, trials: int = 5, **more: Any) -> dict[str, Contestant]:
    return {one.name: one for one in contestants_of(said(*vary, **more), trials)[0]}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("optimizer=adam,ascent,lbfgs", ("adam", "ascent", "lbfgs")),
        ("optimizer=adam(Linear(8, 1)),ascent(1.5, norm='mean')", ("adam(Linear(8, 1))", "ascent(1.5, norm='mean')")),
        ('transforms=lucid,"jitter(8)"', ("lucid", "jitter(8)")),
        ('transforms=["pad(4)","lucid"],[]', ('["pad(4)","lucid"]', "[]")),
        ('stages=[{"steps": 4, "zoom": 1.5}],[]', ('[{"steps": 4, "zoom": 1.5}]', "[]")),
        ("parametrization=fourier(noise=2, init='a,b.png'), pixels", ("fourier(noise=2, init='a,b.png')", "pixels")),
        ("views=4", ("4",)),
    ],
)
def test_lists(text: str, values: tuple[str, ...]) -> None:
    assert read_varied(text, "--vary").values == values


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("step_size=0.5..16", Span(0.5, 16, True)),
        ("noise=1 .. 1e2", Span(1, 100, True)),
        ("tv.weight=.25..1.5e-3", Span(0.25, 0.0015, True)),
        ("jitter=0..32 linear", Span(0, 32, False)),
        ("blend=0..1linear", Span(0, 1, False)),
        ("step_size=1..8 log", Span(1, 8, True)),
    ],
)
def test_ranges(text: str, span: Span) -> None:
    assert read_varied(text, "--vary").span == span


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer", "--vary takes NAME=A,B,C or NAME=LOW..HIGH, as in optimizer=adam,ascent or step_size=0.5..16, not 'optimizer'"),
        ("optimizer=", "--vary takes NAME=A,B,C"),
        ("optimizer=adam,,ascent", "--vary optimizer has no value between two commas"),
        ("optimizer=adam,adam", "--vary optimizer has the value 'adam' twice"),
        ("optimizer=adam(1,ascent", "--vary optimizer: 'adam(1,ascent' ends before its bracket closes"),
        ("optimizer=adam),ascent", "--vary optimizer: 'adam),ascent' has a ')' that closes nothing"),
        ("transforms='lucid,x", "--vary transforms: ''lucid,x' ends before its quote closes"),
    ],
)
def test_texts_of_another_form(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_varied(text, "--vary")


def test_python_values() -> None:
    assert varied("stretch", [True, False], "vary").values == ("true", "false")
    assert varied("mask", [None, "a.png"], "vary").values == ("null", "a.png")
    assert varied("size", [(64, 48), 96], "vary").values == ("[64, 48]", "96")
    assert varied("step_size", "0.5..16", "vary").span == Span(0.5, 16)


def test_lists_multiply_and_a_range_is_tuned() -> None:
    found = made("optimizer=adam,ascent,lbfgs", "step_size=0.5..16", "preset=default,lucid2017")
    assert list(found) == ["adam default", "adam lucid2017", "ascent default", "ascent lucid2017", "lbfgs default", "lbfgs lucid2017"]
    assert {axes_words(one.axes) for one in found.values()} == {"optimizer.step_size 0.5..16"}
    assert [len(one.settings.transforms) for one in found.values()] == [4, len(found["adam lucid2017"].settings.transforms)] * 3
    assert str(found["ascent lucid2017"].settings.optimizer) == "Ascent(step_size=2)"


def test_each_is_tuned_over_its_optimizers_range_by_default() -> None:
    found = made("""optimizer=adam(Linear(8, 1)),ascent(1.5, norm="l2"),scipy,torch("SGD", lr=50),progressive""")
    words = {name: axes_words(one.axes) for name, one in found.items()}
    assert words == {
        "adam(Linear(8, 1))": "optimizer.step_size 0.5..128",
        'ascent(1.5, norm="l2")': "optimizer.step_size 1..10000",
        "scipy": "as it is",
        'torch("SGD", lr=50)': "optimizer.lr 1..10000",
        "progressive": "optimizer.desired 0.1..100",
    }
    assert found["scipy"].says["tuned"] == "takes part as it is"
    assert "tuned" not in found["progressive"].says


def test_the_users_step_sizes_go_to_each_optimizers_own_field() -> None:
    found = made('optimizer=adam,torch("RAdam"),scipy,progressive', "step_size=1..4")
    assert [axes_words(one.axes) for one in found.values()] == [
        "optimizer.step_size 1..4",
        "optimizer.lr 1..4",
        "as it is",
        "optimizer.desired 0.1..100",
    ]


def test_a_number_outside_the_range_stands_in_the_middle_of_one_as_wide() -> None:
    [axis] = made("preset=maco2023,default")["maco2023"].axes
    assert (axis.low, axis.high) == (7.969, 510.0)  # 63.75 over, and times, the root of 32 / 0.5
    assert axis.at(0.5) == pytest.approx(63.75, rel=1e-3)


def test_trials_1_leaves_contestants_as_they_are() -> None:
    found = made("optimizer=adam(2),adam(4)", trials=1)
    assert [one.axes for one in found.values()] == [(), ()]
    with pytest.raises(UsageError, match="--trials 1 leaves contestants as they are, but ranges are given"):
        made("optimizer=adam,ascent", "step_size=1..4", trials=1)


def test_listed_step_sizes_are_contestants_and_not_tuned() -> None:
    found = made("step_size=1,2,4")
    assert {name: (str(one.settings.optimizer), one.axes) for name, one in found.items()} == {
        "step_size=1": ("Adam(step_size=1, beta1=0.5)", ()),
        "step_size=2": ("Adam(beta1=0.5)", ()),
        "step_size=4": ("Adam(step_size=4, beta1=0.5)", ()),
    }


def test_a_range_alone_is_compared_with_the_reference_as_it_is() -> None:
    contestants, reference = contestants_of(said("step_size=0.5..16", preset="lucid2017", reference="lucid2017"), 5)
    assert [(one.name, axes_words(one.axes)) for one in contestants] == [
        ("lucid2017", "optimizer.step_size 0.5..16"),
        ("lucid2017 as it is", "as it is"),
    ]
    assert contestants[1].settings == reference.settings
    assert default_budget(reference) == 512


def test_what_is_tuned() -> None:
    found = made("views=1,2", tune=("tv.weight", "jitter=0..32 linear", "fourier.power=0.5..2", "octaves=1,2"))
    [one, _] = found.values()
    assert axes_words(one.axes) == "tv.weight 1e-05..1, jitter 0..32 linear, fourier.power 0.5..2, octaves 1,2"
    assert [axis.whole for axis in one.axes] == [False, True, False, False]
    shares = made("views=1,2", tune=("tv.share", "l2.share"))
    assert [axes_words(one.axes) for one in shares.values()] == ["tv.share 0.01..1, l2.share 0.01..1"] * 2
    mixed = made("parametrization=fourier,pixels", tune=("fourier.power=0.5..2",))
    assert [axes_words(one.axes) for one in mixed.values()] == ["fourier.power 0.5..2", "as it is"]


@pytest.mark.parametrize(
    ("vary", "more", "message"),
    [
        (("optimizer=adam,adm",), {}, "no optimizer is called 'adm' (did you mean adam?)"),
        (("optimiser=adam,ascent",), {}, "there is no setting 'optimiser' (did you mean optimizer?)"),
        (("steps=1,2",), {}, "--vary steps is not a contestant's: how long a run is, is the budget's business; see --budget"),
        (("seed=1,2",), {}, "--vary seed is not a contestant's: the study draws seeds itself"),
        (("preset=1..3",), {}, "presets are compared, not tuned"),
        (("preset=default,lucid2018",), {}, "no preset is called 'lucid2018' (did you mean lucid2017?)"),
        (("views=1,2", "views=4"), {}, "--vary views is given twice; put all its values into one list"),
        (("views=1,2",), {"tune": ("jitter=0..8",)}, "the range 0..8 of jitter holds 0, which no ratio leads to; write '0..8 linear'"),
        (
            ("views=1,2",),
            {"tune": ("step_size=16..2",)},
            "the range of optimizer.step_size must run from a smaller number above 0 to a larger",
        ),
        (("views=1,2",), {"tune": ("pixels.power=1..2",)}, "there is no part 'pixels' to set power of"),
        (("views=1,2",), {"tune": ("tv.wait=1..2",)}, "TotalVariation has no parameter 'wait'"),
        (("views=1,2",), {"tune": ("decay.rate=0.5..2",)}, "rate of Decay must be from 0 to 1, not 2"),
        (("views=1,2",), {"tune": ("views=1..4", "views=2..3")}, "--tune views is given twice"),
        (("optimizer=scipy,adam", "step_size=1,2"), {}, 'step_size was given, but the optimizer Scipy("L-BFGS-B") has none'),
        (("optimizer=adam(2),adam(4)",), {}, "the contestants 'adam(2)' and 'adam(4)' are the same: they differ in what is tuned alone"),
        ((), {"trials": 1}, "a study compares at least two contestants; say what differs"),
    ],
)
def test_what_does_not_fit(vary: tuple[str, ...], more: dict[str, Any], message: str) -> None:
    with pytest.raises(DreamoptError, match=re.escape(message)):
        made(*vary, **more)


def test_equal_contestants_take_part_once() -> None:
    with pytest.warns(
        DreamoptWarning, match=r"the contestant 'adam\(Linear\(32, 1\), beta1=0.5\)' has the settings of 'adam', and is left out"
    ):
        assert list(made("optimizer=adam,adam(Linear(32, 1), beta1=0.5),ascent")) == ["adam", "ascent"]


def test_contestants_of_tables() -> None:
    tables = (
        SaidContestant("mine", "lucid2017", ("tv=0.25",), (varied("tv.weight", "0.1..10", "tune"),)),
        SaidContestant("plain", None, ("optimizer=plain",), ()),
        SaidContestant("other", None, ("jitter=3",)),
    )
    found = made("optimizer=rmsprop,ascent", contestants=tables, assignments=("views=2",))
    assert {name: axes_words(one.axes) for name, one in found.items()} == {
        "rmsprop": "optimizer.step_size 0.125..8",
        "ascent": "optimizer.step_size 0.125..16",
        "mine": "tv.weight 0.1..10",
        "plain": "as it is",
        "other": "optimizer.step_size 0.5..128",
    }
    assert {one.settings.views for one in found.values()} == {2}
    with pytest.raises(UsageError, match="two contestants are called 'mine'"):
        made(contestants=(tables[0], SaidContestant("mine")))


def test_names_are_short_and_differ() -> None:
    long = "gaussian_blur(Linear(2.5, 0.5), every=2)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = made(f'regularizers=["{long}", "decay(0.1)"],["{long}", "decay(0.2)"],[]')
    assert list(found) == [f'regularizers=["{long[:27]}...', f'regularizers=["{long[:27]}... 2', "regularizers=[]"]
