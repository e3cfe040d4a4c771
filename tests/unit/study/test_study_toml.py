"""Study files: all that options can say, and every fault a sentence with its file and key."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dreamopt.errors import DreamoptError, TrustError, UsageError
from dreamopt.objectives import Channel
from dreamopt.study.records import comparable
from dreamopt.study.words.contestants import axes_words, contestants_of
from dreamopt.study.words.resolve import resolve
from dreamopt.study.words.said import Said, SaidContestant, SaidNet
from dreamopt.study.words.toml import read_study
from dreamopt.study.words.values import read_varied
from dreamopt.study.words.write import study_text

WHOLE = """
title = "Two optimizers on two nets"
budget = "12evals"
seeds = 2
trials = 3
search = "random"
race = true
criterion = "objective"
measures = ["total_variation", "held_out(views=4)"]
seed = 5
size = [24, 20]
preset = "lucid2017"
reference = "mine.toml"
layers = ["conv*"]

[set]
jitter = 2
tv.weight = 0.25

[vary]
optimizer = ["adam", "ascent(1.5, norm='mean')"]
views = [1, 2]

[tune]
step_size = "0.5..16"
"gaussian_blur.sigma" = [0.5, 1]

[[net]]
sample = 3

[[net]]
name = "small"
net = "nets/small.prototxt"
labels = "labels.txt"
mean = [104, 117, 123]
targets = "conv:0-1"
tune_on = ["conv:2", "conv:3"]
size = 12

[[contestant]]
name = "mine"
preset = "mine.toml"
set = { "optimizer.beta1" = 0.5, regularizers = ["decay(0.1)"] }
tune = { "optimizer.step_size" = "1..4" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from tests.support.readers import NET

    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "small.prototxt").write_text(NET, encoding="utf-8")
    (tmp_path / "labels.txt").write_text("tabby cat\nn01443537 goldfish\nstars\nstripes\nfive\n", encoding="utf-8")
    (tmp_path / "mine.toml").write_text('[settings]\noptimizer = "adam(3)"\nsteps = 9\n', encoding="utf-8")
    (tmp_path / "STUDY.toml").write_text(WHOLE, encoding="utf-8")
    return tmp_path


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_a_whole_study(folder: Path) -> None:
    request = resolve(read_study(folder / "STUDY.toml")).request
    assert (request.title, str(request.budget), request.seeds, request.trials) == ("Two optimizers on two nets", "12evals", 2, 3)
    assert (request.search, request.race, request.criterion, request.seed) == ("random", True, "objective", 5)
    assert request.measures == ("objective", "total_variation", "held_out(views=4)", "evaluations", "seconds")
    tiny, small = request.nets
    assert (tiny.name, len(tiny.units), tiny.size) == ("tiny", 3, (24, 20))
    assert {unit.partition("/")[0] for unit in tiny.units} == {"conv1", "conv2"}
    assert (small.name, small.units, small.tuning_units, small.size) == ("small", ("conv:0", "conv:1"), ("conv:2", "conv:3"), (12, 12))
    assert small.load["net"] == str(folder / "nets" / "small.prototxt")
    assert (small.load["labels"], small.load["mean"]) == (str(folder / "labels.txt"), "104,117,123")
    names = [one.name for one in request.contestants]
    assert names == [f"{name} views={views}" for name in ("adam", "ascent(1.5, norm='mean')") for views in (1, 2)] + ["mine"]
    first, mine = request.contestants[0], request.contestants[-1]
    assert axes_words(first.axes) == "optimizer.step_size 0.5..16, gaussian_blur.sigma 0.5,1"
    assert axes_words(mine.axes) == "optimizer.step_size 1..4"
    assert str(mine.settings.optimizer) == "Adam(step_size=3, beta1=0.5)"
    assert [str(part) for part in mine.settings.regularizers] == [
        "TotalVariation(0.25)",
        "Decay(0.0005)",
        "GaussianBlur(Linear(0.8, 0.16), every=4)",
        "Decay(0.1)",
    ]
    assert str(request.reference.settings.optimizer) == "Adam(step_size=3)"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("seeds = 2", "sedes = 2", "sedes in the study file {} is not known (did you mean seeds?)"),
        ("seeds = 2", "seeds = 2.5", "seeds in the study file {} must be a whole number of at least 1, not 2.5"),
        ("race = true", 'race = "yes"', "race in the study file {} must be true or false, not 'yes'"),
        ('net = "nets/small.prototxt"', "nett = 3", "nets[1].nett in the study file {} is not known (did you mean net?)"),
        ('name = "mine"\n', "", "contestants[0].name in the study file {} is missing"),
        ('title = "Two', 'weights = "a.caffemodel"\ntitle = "Two', "weights in the study file {} stands beside tables [[net]]"),
        ("[set]", "[set", "the study file {} is damaged"),
        ('title = "Two', 'vary = 3\ntitle = "Two', "the study file {} is damaged"),
    ],
)
def test_a_fault_names_its_file_and_key(before: str, after: str, message: str, folder: Path) -> None:
    path = folder / "STUDY.toml"
    assert before in WHOLE
    path.write_text(WHOLE.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(message.format(path))):
        read_study(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('[vary]\ninit = ["photo.png", "null"]', "the path 'photo.png' comes from a file's words"),
        ('[vary]\nparametrization = ["fourier(init=\'photo.png\')", "pixels"]', "the path 'photo.png' comes from a file's words"),
        ('[tune]\nmask = ["photo.png"]', "the path 'photo.png' comes from a file's words"),
        ('[vary]\noptimizer = ["adam", "stranger()"]', "no optimizer is called 'stranger'"),
        ("[[contestant]]\nname = 'a'\nset = { init = 'photo.png' }", "the path 'photo.png' comes from a file's words"),
    ],
)
def test_a_strangers_words_open_no_file(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "STUDY.toml"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(DreamoptError, match=re.escape(message)):
        contestants_of(read_study(path), 5)


@pytest.mark.parametrize("line", ['python = "sh -c true"', "allow_python_layers = true", 'backend = "remote"', 'cache = "/tmp"'])
def test_a_strangers_words_run_nothing(line: str, tmp_path: Path) -> None:
    path = tmp_path / "STUDY.toml"
    path.write_text(f'{line}\ntargets = "conv2:1"', encoding="utf-8")
    with pytest.raises(UsageError, match=f"(is not known|backend in the study file {re.escape(str(path))} must be auto or engine)"):
        read_study(path)


def test_a_preset_of_a_stranger(tmp_path: Path) -> None:
    (tmp_path / "STUDY.toml").write_text('[vary]\npreset = ["./evil.toml", "default"]', encoding="utf-8")
    (tmp_path / "evil.toml").write_text('[settings]\ninit = "photo.png"\n', encoding="utf-8")
    with pytest.raises(TrustError, match=r"the path 'photo\.png' comes from a file's words"):
        contestants_of(read_study(tmp_path / "STUDY.toml"), 5)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the study file '.*none\.toml' cannot be read: No such file"):
        read_study(tmp_path / "none.toml")


def test_the_study_file_of_the_documents(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "bench.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "STUDY.toml").write_text(text, encoding="utf-8")
    request = resolve(read_study(tmp_path / "STUDY.toml")).request
    assert [one.name for one in request.contestants] == ["adam", "ascent(1.5, norm='mean')", "lucid, softly"]
    assert [axes_words(one.axes) for one in request.contestants] == [
        "optimizer.step_size 0.5..128",
        "optimizer.step_size 0.125..16",
        "tv.share 0.05..0.8",
    ]
    assert (len(request.nets[0].units), len(request.nets[0].tuning_units)) == (12, 6)


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_a_study_written_as_a_file_is_the_same_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    said = read_study("STUDY.toml")
    out = folder / "runs" / "out"
    out.mkdir(parents=True)
    text = study_text(said, out)
    assert text is not None
    (out / "STUDY.toml").write_text(text, encoding="utf-8")
    before, after = resolve(said).request, resolve(read_study(out / "STUDY.toml")).request
    assert json.dumps(comparable(after.describe())) == json.dumps(comparable(before.describe()))
    assert Path(str(after.nets[1].load["net"])).resolve() == (folder / "nets" / "small.prototxt").resolve()


def test_options_written_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vary = [read_varied(text, "--vary") for text in ('transforms=lucid,"jitter(8)"', "jitter=0..8 linear", "noise=1e-3..2")]
    said = Said(
        title='a "quoted" title \u00e9 \U0001f600',
        nets=(SaidNet(targets=("conv2:1", 'scores:"bubbles"'), tune_on=("conv2:5-8",), options={"device": "cpu", "mean": "104,117,123"}),),
        vary=tuple(vary),
        tune=(read_varied("tv.weight", "--tune", bare=True),),
        assignments=("regularizers=['decay(0.1)']", "views=2"),
        contestants=(SaidContestant("as it is", tune=()),),
        budget="30s",
        race=False,
    )
    (tmp_path / "STUDY.toml").write_text(str(study_text(said, tmp_path)), encoding="utf-8")
    again = read_study(tmp_path / "STUDY.toml")
    assert again == replace(said, source=again.source, folder=str(tmp_path))
    assert study_text(replace(said, nets=(SaidNet(options={"backend": "remote"}),)), tmp_path) is None
    assert study_text(replace(said, nets=(SaidNet(targets=(Channel("conv2", 1),)),)), tmp_path) is None
