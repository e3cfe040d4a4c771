"""`dreamopt top` and `dreamopt.top`: known answers, crops and rankings in files, interrupted, killed and gone on with, in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.data.textures import texture_image
from dreamopt.dataset.stream import Progress
from dreamopt.dataset.top_k import TopK
from dreamopt.errors import DreamoptError, DreamoptWarning, ImageError, UsageError
from dreamopt.image.files import read_metadata
from tests.support.readers import NET

SHAPES = ("hearts", "spirals", "bricks", "waves", "suns")


def command(*words: str) -> Result:
    return CliRunner().invoke(cli, ["top", *words, "--device=cpu", "-q"])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of each of five classes of the embedded net, and files that are none."""
    folder = tmp_path_factory.mktemp("shapes")
    for name in SHAPES:
        (folder / name).mkdir()
        for number in range(6):
            Image.fromarray(texture_image(name, number)).save(folder / name / f"{number}.png")
    (folder / "bricks" / "broken.jpg").write_bytes(b"no image at all")
    (folder / "readme.txt").write_text("not looked at")
    return folder


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"
    }


def test_each_class_finds_its_own_images(shapes: Path, tmp_path: Path) -> None:
    targets = [word for name in SHAPES for word in ("-t", f"scores:{name}")]
    result = command(str(shapes), *targets, "-k", "5", "-o", str(tmp_path / "top"), "--no-render")
    assert result.exit_code == 0, result.output
    ranking = json.loads((tmp_path / "top" / "ranking.json").read_text())
    for name, found in zip(SHAPES, ranking["targets"], strict=True):
        assert (found["label"], found["seen"], found["skipped"], found["complete"]) == (name, 30, 1, True)
        assert [Path(image["path"]).parent.name for image in found["images"]].count(name) >= 4
        values = [image["value"] for image in found["images"]]
        assert values == sorted(values, reverse=True)
        assert all(image["rectangle"] == [0, 0, 96, 96] for image in found["images"])
    assert [Path(one["path"]).name for one in ranking["skipped"]] == ["broken.jpg"]
    sheets = [Path(line).name for line in result.stdout.splitlines()]
    assert sheets == ["sheet.png", *(f"scores-{name}.png" for name in SHAPES)]


def test_a_painted_grating_is_found_where_it_was_painted(tmp_path: Path) -> None:
    """Of images of faint noise one has a grating; the filters of the first layer that are made for it show it in their crops."""
    network, rng = dreamopt.load_net(device="cpu"), np.random.default_rng(0)
    for number in range(9):
        levels = np.full((96, 96, 3), 128.0) + rng.normal(0, 3, (96, 96, 3))
        if number == 4:
            levels[30:60, 50:80] += 100 * np.sign(np.sin(np.arange(30) * 1.2))[None, :, None]
        Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    found = [one for one in dreamopt.top(network, tmp_path, "conv1/relu:*", k=2) if one.values[0] > 2 * one.values[1] > 0]
    assert len(found) > 3
    for one in found:
        (top, bottom), (left, right) = one.images[0].rectangle
        assert Path(one.paths[0]).name == "4.png"
        assert (bottom - top, right - left) == (7, 7)
        assert min(bottom, 60) > max(top, 30)
        assert min(right, 80) > max(left, 50)


def test_results_within_the_set_are_no_images_of_it(shapes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted((shapes / "hearts").iterdir())[:3]:
        (folder / ("=" + path.name)).write_bytes(path.read_bytes())
    for _ in range(2):
        [found] = dreamopt.top(dreamopt.load_net(), folder, "mixed3:7", out=folder / "top")
        assert found.seen == 3


def test_names_in_the_table_are_no_formulas(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "=1.png").write_bytes(sorted((shapes / "hearts").iterdir())[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    dreamopt.top(dreamopt.load_net(), "=1.png", "-mixed3:7", out="top")
    with open("top/ranking.csv", newline="") as stream:
        [row] = csv.DictReader(stream)
    assert (row["path"], row["target"]) == ("./=1.png", "'-mixed3:7")
    [target] = json.loads(Path("top/ranking.json").read_text())["targets"]
    assert (target["images"][0]["path"], target["target"]) == ("=1.png", "-mixed3:7")


def test_crops_are_what_the_place_sees(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "top"
    assert command(str(shapes), "-t", "mixed3:7", "-k", "4", "-o", str(out), "--no-render", "--whole").exit_code == 0
    [target] = json.loads((out / "ranking.json").read_text())["targets"]
    with open(out / "ranking.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    network = dreamopt.load_net(device="cpu")
    for rank, (found, row) in enumerate(zip(target["images"], rows, strict=True), start=1):
        levels = pixels(found["path"])
        top, left, bottom, right = found["rectangle"]
        up, before, *_ = found["window"]
        crop = pixels(out / "mixed3-7" / f"{rank:02d}.png")
        inside = crop[top - up : bottom - up, left - before : right - before]
        np.testing.assert_array_equal(inside, levels[top:bottom, left:right])
        assert crop.shape[:2] == (35, 35)
        assert (crop.astype(int).sum() - inside.astype(int).sum()) == 200 * 3 * (35 * 35 - inside.shape[0] * inside.shape[1])
        y, x = found["place"]
        value = network.activations(network.from_rgb(levels)[None], ["mixed3"])["mixed3"][0, 7]
        assert found["value"] == pytest.approx(float(value.detach().max()), rel=1e-5)
        assert float(value[y, x]) == float(value.max())
        assert read_metadata(out / "mixed3-7" / f"{rank:02d}.png") == {
            "target": "mixed3:7",
            "rank": rank,
            "label": None,
            "by": "max",
            **found,
        }
        assert (float(row["value"]), row["path"], int(row["photo_left"])) == (found["value"], found["path"], left)
        marked = pixels(out / "mixed3-7" / f"{rank:02d}-image.png")
        assert marked.shape == (96, 96, 3)
        assert (marked[top, left:right] == (255, 32, 32)).all()


def test_a_larger_set_replaces_what_was_there(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "top"
    for k, count in ((5, 5), (2, 2), (99, 30)):
        assert (
            command(str(shapes), "-t", "conv2:1", "-k", str(k), "-o", str(out), "--no-render", *(["--force"] if k != 5 else [])).exit_code
            == 0
        )
        assert len(list((out / "conv2-1").glob("*.png"))) == count


def test_the_synthesized_image_stands_beside(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "top"
    assert command(str(shapes / "suns"), "-t", "conv2:0-1", "-k", "2", "-o", str(out), "--steps", "3").exit_code == 0
    synthesized = pixels(out / "conv2-1" / "synthesized.png")
    assert synthesized.shape == (96, 96, 3)
    alone = pixels(out / "conv2-1.png").shape
    assert command(str(shapes / "suns"), "-t", "conv2:0-1", "-k", "2", "-o", str(out), "--no-render", "--force").exit_code == 0
    assert pixels(out / "conv2-1.png").shape[1] < alone[1]
    given = tmp_path / "given"
    given.mkdir()
    Image.fromarray(synthesized).save(given / "conv2-1.png")
    assert command(str(shapes / "suns"), "-t", "conv2:0-1", "-k", "2", "-o", str(out), "--beside", str(given), "--force").exit_code == 0
    assert pixels(out / "conv2-1.png").shape == alone


def test_an_image_to_show_beside_is_read_before_the_set(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(self: TopK, batch: Any) -> None:
        raise AssertionError("the set is not looked at")

    monkeypatch.setattr(TopK, "add", add)
    words = (str(shapes / "suns"), "-t", "conv2:1", "-o", str(tmp_path / "top"))
    one = shapes / "suns" / "0.png"
    for more, sentence in (
        (("-t", "conv2:2", "--beside", str(one)), "is one image, and there are 2 targets"),
        (("--beside", str(shapes / "bricks" / "broken.jpg")), "broken.jpg"),
        (("--beside", str(shapes / "waves")), "holds no image of a target"),
    ):
        result = command(*words, *more)
        assert (result.exit_code in (1, 2), sentence in result.stderr) == (True, True), result.output


def test_a_method_shows_what_in_a_crop_a_target_answers_to(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "top"
    words = (str(shapes / "suns"), "-t", "mixed3:7", "-t", "scores:suns", "-k", "2", "-o", str(out), "--no-render")
    assert command(*words).exit_code == 0
    plain = pixels(out / "mixed3-7.png")
    refused = command(*words, "--method", "guided_backprop")
    assert (refused.exit_code, "is there already" in refused.stderr) == (2, True)
    assert command(*words, "--method", "guided_backprop", "--force").exit_code == 0
    sheet = pixels(out / "mixed3-7.png")
    assert sheet.shape[1] == 2 * plain.shape[1]
    np.testing.assert_array_equal(sheet[30:, plain.shape[1] :], plain[30:])
    network = dreamopt.load_net(device="cpu")
    [one] = dreamopt.top(network, shapes / "suns", "2*mixed3:7", 1)
    (top, bottom), (left, right) = one.images[0].rectangle
    found = dreamopt.attribute(network, one.images[0].image(), one.images[0].objective, "gradient")
    outside = found.array.copy()
    outside[top:bottom, left:right] = 0
    assert found.score == pytest.approx(one.values[0], rel=1e-5)
    assert abs(outside).max() == 0 < abs(found.array).max()


KILLED = """
import os, signal, sys
import dreamopt.recipes.top
dreamopt.recipes.top.SECONDS = 0.0
dreamopt.recipes.top.run_top.__kwdefaults__["every"] = 0.0
batches = 0
def progress(now):
    global batches
    batches += 1
    if batches == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
network = dreamopt.load_net(device="cpu")
dreamopt.recipes.top.top(network, sys.argv[2], ["mixed3:3", "scores:2"], 3, batch=4, out=sys.argv[3], resume=True, progress=progress)
"""


def test_a_killed_job_goes_on_to_the_same_files(shapes: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    network = dreamopt.load_net(device="cpu")
    expected = dreamopt.top(network, shapes, ["mixed3:3", "scores:2"], 3, batch=4, out=whole)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for batches in (3, 4):  # killed twice, each time in the middle
        done = subprocess.run([sys.executable, "-c", KILLED, str(batches), str(shapes), str(killed)], env=environment, timeout=300)
        assert done.returncode == -signal.SIGKILL
    state = json.loads((killed / "state.json").read_bytes().partition(b"\0")[0])
    assert state["progress"]["done"] == 4 * 5 + 1  # what the second did without its last batch, and the broken file
    seen: list[Progress] = []
    found = dreamopt.top(network, shapes, ["mixed3:3", "scores:2"], 3, batch=4, out=killed, resume=True, progress=seen.append)
    assert seen[0].done == 4 * 6 + 1
    assert [(one.values, one.paths) for one in found] == [(one.values, one.paths) for one in expected]
    assert files(killed) == files(whole)


def test_ctrl_c_writes_what_was_done(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "top"
    words = (str(shapes), "-t", "mixed3:3", "-k", "3", "-o", str(out), "--batch", "4", "--no-render")

    add = TopK.add

    def interrupted(self: TopK, batch: Any) -> None:
        add(self, batch)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TopK, "add", interrupted)
    result = command(*words)
    assert result.exit_code == 130
    assert "--resume goes on" in result.stderr
    [target] = json.loads((out / "ranking.json").read_text())["targets"]
    assert (target["seen"], target["complete"], len(target["images"])) == (4, False, 3)
    assert (out / "mixed3-3.png").is_file()
    monkeypatch.setattr(TopK, "add", add)
    assert command(*words, "--resume").exit_code == 0
    whole = tmp_path / "whole"
    assert command(*(str(whole) if word == str(out) else word for word in words)).exit_code == 0
    assert files(out) == files(whole)


def test_a_changed_set_begins_anew(tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "top"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(texture_image("dots", number)).save(folder / f"{number}.png")
    network = dreamopt.load_net(device="cpu")
    dreamopt.top(network, folder, "conv2:3", 2, out=out)
    Image.fromarray(texture_image("dots", 9)).save(folder / "0b.png")
    with pytest.warns(DreamoptWarning, match="begins anew"):
        [one] = dreamopt.top(network, folder, "conv2:3", 2, out=out, resume=True)
    assert one.seen == 5
    with pytest.raises(UsageError, match="k \\(2 there, 3 here\\)"):
        dreamopt.top(network, folder, "conv2:3", 3, out=out, resume=True)
    Image.fromarray(texture_image("dots", 10)).save(folder / "4.png")  # behind all that was done
    [one] = dreamopt.top(network, folder, "conv2:3", 2, out=out, resume=True)
    assert one.seen == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("{empty}", "-t", "conv2:1"), "there is no image in '{empty}'"),
        (("{missing}", "-t", "conv2:1"), "none of the 1 images could be read; of '{missing}'"),
        (("{empty}/*.jpg", "-t", "conv2:1"), "no file fits the pattern"),
        (("{empty}", "-t", "conv2:999"), "layer 'conv2' has no channel 999"),
        (("{empty}", "-t", 'Diversity("conv2")'), "compares images with each other"),
        (("{empty}", "-t", "scores:1", "--longest", "200", "--size", "90"), "exclude each other"),
        (("{empty}", "-t", "conv2:1", "--size", "12x"), "--size"),
        (("{empty}", "-t", "conv2:1", "--method", "guide"), "attribution method"),
        (("{empty}", "-t", "conv2:1", "--beside", "{missing}"), "is not there"),
        (("{empty}", "-t", "conv2:1", "-o", "{empty}/top.png"), "must be a folder"),
    ],
)
def test_errors_are_one_sentence(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    places = {"empty": str(tmp_path / "empty"), "missing": str(tmp_path / "missing.png")}
    (tmp_path / "empty").mkdir()
    given = [word.replace("{empty}", places["empty"]).replace("{missing}", places["missing"]) for word in words]
    result = command("-o", str(tmp_path / "out"), *given)
    assert result.exit_code in (1, 2)
    assert sentence.replace("{empty}", places["empty"]).replace("{missing}", places["missing"]) in result.stderr
    assert "Traceback" not in result.output


def test_names_of_any_bytes_are_shown_as_text(tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "top"
    folder.mkdir()
    names = ["line\nend.png", "\x1b[2J.png", os.fsdecode(b"\xff\xfe.png"), "plain.png"]
    for number, name in enumerate(names):
        Image.fromarray(texture_image("dots", number)).save(tmp_path / "one.png")
        (tmp_path / "one.png").rename(folder / name)
    (folder / "\x1b[31mbroken.png").write_bytes(b"")
    words = (str(folder), "-t", "conv2:3", "-k", "4", "-o", str(out), "--no-render", "--device=cpu")
    for more in ((), ("--resume",)):
        result = CliRunner().invoke(cli, ["top", *words, *more])
        assert result.exit_code == 0
        assert "\x1b" not in result.output
        assert "1 of 5 images were skipped" in result.stderr
        ranking = json.loads((out / "ranking.json").read_text())
        assert sorted(Path(one["path"]).name for one in ranking["targets"][0]["images"]) == sorted(names)


def test_what_is_left_out_of_images_is_counted(tmp_path: Path) -> None:
    frames = [Image.fromarray(texture_image("dots", number)) for number in range(2)]
    for number in range(3):
        frames[0].save(tmp_path / f"{number}.gif", save_all=True, append_images=frames[1:])
    result = CliRunner().invoke(cli, ["top", str(tmp_path), "-t", "conv2:3", "-o", str(tmp_path / "top"), "--no-render", "--device=cpu"])
    assert (result.exit_code, "3 images were read with something left out" in result.stderr) == (0, True)


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_images_at_their_own_sizes_need_layers_that_take_them(tmp_path: Path) -> None:
    for number, size in enumerate([(96, 96), (40, 140), (5, 7), (200, 90)]):
        Image.fromarray(texture_image("dots", number)).resize((size[1], size[0])).save(tmp_path / f"{number}.png")
    small = tmp_path / "small.prototxt"
    small.write_text(NET)
    network = dreamopt.load_net(device="cpu")
    [one] = dreamopt.top(network, tmp_path, "conv2:3", longest=150)
    assert {image.size for image in one.images} == {(96, 96), (40, 140), (150, 68), (5, 7)}
    [one] = dreamopt.top(network, tmp_path, "conv2:3@20,15", longest=150)  # a map of 24 x 24 places, 10 x 35, 38 x 17, 1 x 2
    assert {image.size for image in one.images} == {(96, 96), (150, 68)}
    assert [(Path(path).name, "no row y = 20" in reason) for path, reason in one.reasons] == [("1.png", True), ("2.png", True)]
    with pytest.raises(UsageError, match=r"images at their own sizes do not fit: .*give a size instead of longest"):
        dreamopt.top(dreamopt.load_net(small, device="cpu"), tmp_path, "fc:3", longest=150)


@pytest.mark.parametrize("name", ["images", "targets", "k", "by", "size", "longest", "batch", "per_image", "distinct"])
def test_arguments_of_the_wrong_kind_are_refused_by_one_sentence(name: str) -> None:
    network = dreamopt.load_net(device="cpu")
    right: dict[str, Any] = {"images": [texture_image("dots", 0)], "targets": "conv2:3"}
    for value in (math.nan, -1, 0, 2.5, 10**30, "text", "", "\x00", b"x", (), {}, [None], object(), int, np.zeros(3), 1j):
        with contextlib.suppress(DreamoptError):  # some are right for some parameters
            dreamopt.top(network, **(right | {name: value}))


def test_in_python_images_may_be_arrays(tmp_path: Path) -> None:
    network = dreamopt.load_net(device="cpu")
    arrays = [texture_image(name, 0) for name in SHAPES]
    [one] = dreamopt.top(network, arrays, f"scores:{SHAPES[2]}", 2)
    assert one.images[0].index == 2
    np.testing.assert_array_equal(one.images[0].crop(), arrays[2])
    assert one._repr_png_()[:4] == b"\x89PNG"
    assert one.sheet().shape[2] == 3
    with pytest.raises(UsageError, match="resume needs the folder"):
        dreamopt.top(network, arrays, "scores:1", resume=True)
    with pytest.raises(ImageError, match="none of the 1 images could be read"):
        dreamopt.top(network, tmp_path / "no.png", "scores:1")


MEMORY = """
import sys
import dreamopt
from tests.support.resident import peak, reset_peak
network = dreamopt.load_net(device="cpu")
dreamopt.top(network, sys.argv[1] + "/000*.jpg", "mixed3:0-3", 5)
before = reset_peak()
[one, *_] = dreamopt.top(network, sys.argv[1], "mixed3:0-3", 5)
print(one.seen, peak() - before)
"""


def test_a_large_set_takes_no_more_memory(tmp_path: Path) -> None:
    """300 images of 1.4 MB each when they are decoded: 420 MB, of which a few batches are there at a time."""
    folder = tmp_path / "images"
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    large = np.asarray(Image.fromarray(levels).resize((800, 600)))
    for number in range(10):
        Image.fromarray(np.roll(large, number, 1)).save(folder / f"{number:04d}.jpg")
    for number in range(10, 300):
        os.link(folder / f"{number % 10:04d}.jpg", folder / f"{number:04d}.jpg")
    done = subprocess.run([sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, timeout=600, check=True)
    seen, grown = map(int, done.stdout.split())
    assert seen == 300
    assert grown < 100e6
