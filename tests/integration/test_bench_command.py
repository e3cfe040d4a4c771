"""`dreamopt bench` and `dreamopt.bench`: from words to a report, interrupted, killed and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import UsageError
from dreamopt.image.files import read_metadata
from dreamopt.study.bench import Progress

WORDS = ["--size=24", "--budget=4evals", "--seeds=1", "--trials=2", "--measure=total_variation", "--processes=1", "--device=cpu"]
BENCH = ["bench", "-t", "conv2:0-1", "--vary", "optimizer=adam,ascent", *WORDS]
RUNS = 2 * 3 + 4 * (2 * 2 + 1)
"""Scored by two contestants and the reference on two units, and four tuning units by two trials of each and the reference."""


def command(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def rows_of(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "rows").glob("*.json")}


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which other tests look at, and which takes seconds."""
    monkeypatch.setattr("dreamopt.study.study.Study.report", lambda study: study.folder / "report.html")


def test_a_study_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "study"
    result = command(*BENCH, "-o", str(out))
    assert result.exit_code == 0, result.output
    assert "2 contestants x 2 units x 1 seeds, 2 of them tuned by 2 trials (grid): at most 26 runs of 4evals" in result.stderr
    assert "  adam: optimizer.step_size 0.5..128\n  ascent: optimizer.step_size 0.125..16\n" in result.stderr
    verdict, *table = result.stdout.splitlines()
    assert verdict.startswith("No winner: ")
    assert [line.split()[0] for line in table[:4]][:1] == ["contestant"]
    assert {line.split()[0] for line in table[1:4]} == {"adam", "ascent", "reference"}
    assert table[-2:] == [str(out / "report.html"), str(out / "winner.toml")] or table[-1] == str(out / "report.html")
    rows = rows_of(out)
    assert RUNS - 6 <= len(rows) <= RUNS

    assert {path.name for path in out.iterdir()} >= {"report.html", "study.json", "STUDY.toml", "rows.csv", "rows.jsonl"}
    monkeypatch.setattr("dreamopt.study.study.Study.report", lambda study: study.folder / "report.html")
    again = command(*BENCH, "-o", str(out), "--resume", "--json")
    assert again.exit_code == 0, again.output
    assert rows_of(out) == rows
    found = json.loads(again.stdout)
    assert (found["winner"], found["verdict"], found["report"]) == (None, verdict, str(out / "report.html"))
    assert {one["contestant"] for one in found["standings"]} == {"adam", "ascent", "reference"}
    assert set(found["outcome"]["chosen"]) == {"adam", "ascent"}

    by_its_file = command("bench", str(out / "STUDY.toml"), "-o", str(out), "--resume", "--processes=1", "--json", "-q")
    assert by_its_file.exit_code == 0, by_its_file.output
    assert (rows_of(out), json.loads(by_its_file.stdout)["verdict"]) == (rows, verdict)

    report = command("bench", "report", str(out))
    assert (report.exit_code, report.stdout.splitlines()[0]) == (0, verdict)

    other = command(*BENCH, "--seed=1", "-o", str(out))
    assert other.exit_code == 2
    assert "holds a study with other" in other.stderr
    assert "seed" in other.stderr


@pytest.mark.usefixtures("unreported")
def test_images_say_how_they_are_made_again(tmp_path: Path) -> None:
    out = tmp_path / "study"
    assert command(*BENCH, "-q", "-o", str(out)).exit_code == 0
    image = next((out / "images").glob("*.png"))
    metadata = read_metadata(image)
    again = tmp_path / "again.png"
    replayed = command("replay", str(image), "-o", str(again), "-q", "--device=cpu")
    assert replayed.exit_code == 0, replayed.output
    assert metadata["settings"]["seed"] == read_metadata(again)["settings"]["seed"]
    from PIL import Image, ImageChops

    with Image.open(image) as before, Image.open(again) as after:
        assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vary", "optimizer=adam,adm", "-t", "conv2:1"], "no optimizer is called 'adm' (did you mean adam?)"),
        (["--vary", "optimizer=adam,ascent"], "say on which units contestants are compared"),
        (["-t", "conv2:1", "--budget", "5min"], "a budget is a number of evaluations or of seconds, as 500evals or 30s, not '5min'"),
        (["-t", "conv2:1", "--criterion", "contrast"], "contrast says of no image that it is better than another one"),
        (["-t", "conv2:1", "--criterion", "diversity"], "diversity compares the images of a unit"),
        (["-t", "conv2:1", "--measure", "shine"], "no measure is called 'shine'"),
        (["-t", "conv2:1", "--resume"], "there is nothing to resume in"),
        (["-t", "conv9:1"], "conv9"),
        (["report", "nowhere"], "nowhere holds no study"),
        (["report"], "say of which folder"),
        (["report", "a", "b"], "rows of several folders are brought together in a new one; say where: -o FOLDER"),
        (["report", "a", "--seeds", "3"], "bench report makes a report of rows alone, and takes no --seeds"),
        (["a.toml", "b.toml"], "one study file is read, and 'b.toml' is given, too"),
        (["none.toml"], "the study file 'none.toml' cannot be read"),
    ],
)
def test_words_that_do_not_fit(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("bench", *words, "--device=cpu") if words[0] != "report" else command("bench", *words)
    assert result.exit_code == (1 if "conv9:1" in words else 2)
    assert message in result.stderr
    assert not (tmp_path / "dreamopt-study").exists()


@pytest.mark.usefixtures("unreported")
def test_a_study_file_with_options_instead(tmp_path: Path) -> None:
    (tmp_path / "STUDY.toml").write_text(
        'targets = "conv2:0-1"\nbudget = 99\nseeds = 1\ntrials = 1\nmeasures = "total_variation"\nsize = 24\n'
        '[vary]\noptimizer = ["adam", "ascent"]\n',
        encoding="utf-8",
    )
    words = ["--budget=4evals", "--processes=1", "--device=cpu", "--target=conv2:5", "-q", "-o", str(tmp_path / "out")]
    result = command("bench", str(tmp_path / "STUDY.toml"), *words)
    assert result.exit_code == 0, result.output
    request = json.loads((tmp_path / "out" / "study.json").read_text("utf-8"))["request"]
    assert (request["budget"], request["nets"][0]["units"], request["nets"][0]["tuning_units"]) == ("4evals", ["conv2:5"], [])
    assert request["nets"][0]["load"]["device"] == "cpu"


@pytest.mark.usefixtures("unreported")
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "study"
    words = [sys.executable, "-m", "dreamopt", *BENCH, "-o", str(out)]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while len(rows_of(out)) < 5 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = rows_of(out)
    assert len(before) >= 5
    assert command(*BENCH, "-o", str(out), "--resume").exit_code == 0
    after = rows_of(out)
    assert {key: after[key] for key in before} == before  # none was written anew
    whole = tmp_path / "whole"
    assert command(*BENCH, "-o", str(whole)).exit_code == 0
    assert rows_of(whole).keys() == after.keys()


def test_ctrl_c_leaves_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.study import bench as room

    def interrupting(*words: Any, watch: Any, **more: Any) -> Any:
        def seen(progress: Progress) -> None:
            if progress.runs == 4:
                raise KeyboardInterrupt

        return run_study(*words, watch=seen, **more)

    run_study = room.run_study
    monkeypatch.setattr(room, "run_study", interrupting)
    result = command(*BENCH, "-o", str(tmp_path / "study"))
    assert result.exit_code == 130
    assert f"dreamopt: interrupted; the runs that are done are in {tmp_path / 'study'}" in result.stderr
    assert "--resume goes on" in result.stderr
    assert len(rows_of(tmp_path / "study")) == 4


def test_a_study_in_python(tmp_path: Path) -> None:
    network, seen = dreamopt.load_net(device="cpu"), list[Progress]()
    fields: dict[str, Any] = {"seeds": 1, "size": 24, "budget": 4, "measures": ["total_variation"], "trials": 2}
    vary = {"preset": ["default", "lucid2017"], "step_size": "1..8"}
    study = dreamopt.bench(
        network, ["conv2:0", "conv2:1"], vary=vary, settings={"jitter": 1}, out=tmp_path / "a", progress=seen.append, **fields
    )
    assert study.winner is None
    assert [one.name for one in study.request.contestants] == ["default", "lucid2017"]
    assert {axis.low for one in study.request.contestants for axis in one.axes} == {1}
    assert (seen[-1].runs, seen[-1].most) == (RUNS, RUNS)
    assert len(study.table()) == 3
    assert study.report() == tmp_path / "a" / "report.html"
    with pytest.raises(UsageError, match="a net that is open in this process cannot be sent to others"):
        dreamopt.bench(network, "conv2:0-1", vary=vary, out=tmp_path / "b", processes=2, **fields)
    with pytest.raises(UsageError, match="a net has no 'wieghts'"):
        dreamopt.bench({"net": "tiny", "wieghts": "a"}, "conv2:0-1", vary=vary)


def test_several_nets_and_others_that_measure(tmp_path: Path) -> None:
    network = dreamopt.load_net(device="cpu")
    study = dreamopt.bench(
        [network, {"network": network, "name": "again", "targets": "conv1:1"}],
        "scores:3",
        vary={"optimizer": ["adam", "ascent"]},
        trials=1,
        seeds=1,
        size=24,
        budget=3,
        measures=["transfer"],
        also=[network],
        out=tmp_path / "study",
    )
    assert [(net.name, net.units) for net in study.request.nets] == [("net", ("scores:3",)), ("again", ("conv1:1",))]
    assert [net["name"] for net in study.request.also] == ["net 2"]
    values = {(row.net, row.measures["transfer"] is not None and 0 < row.measures["transfer"] <= 1) for row in study.rows}
    assert values == {("net", True), ("again", False)}  # a channel is no class
    assert len(study.rows) == 6
