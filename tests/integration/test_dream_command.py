"""``dreamopt dream``: several images, previews, and resuming in the middle of an octave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.optimize import Progress
from dreamopt.recipes import FolderStore, plan_dream, replay
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.preview import Preview
from dreamopt.recipes.render import run_plan

QUICK = ("-t", "mixed3", "--octaves", "2", "--steps", "2", "--device", "cpu")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.png", tmp_path / "two.png", tmp_path / "other" / "one.png"]
    (tmp_path / "other").mkdir()
    for number, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (33 + number, 47, 3), np.uint8)).save(path)
    return paths


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, ["dream", *map(str, words), *QUICK])


def test_several_images_are_files_of_their_names_in_a_folder(photos, tmp_path) -> None:
    result = call(*photos, "-o", tmp_path / "out", "-q")
    assert result.exit_code == 0, result.output
    paths = [tmp_path / "out" / name for name in ("one.png", "two.png", "one-2.png")]
    assert result.stdout.splitlines() == [str(path) for path in paths]
    for photo, path in zip(photos, paths, strict=True):
        assert read_metadata(path)["init"]["path"] == str(photo)
        assert read_written(path).shape == np.asarray(Image.open(photo)).shape
    alone = call(photos[1], "-o", tmp_path / "alone.png", "-q")
    assert alone.exit_code == 0
    assert np.array_equal(read_written(tmp_path / "alone.png"), read_written(paths[1]))


def test_several_images_are_one_json(photos, tmp_path) -> None:
    result = call(*photos[:2], "-o", tmp_path / "out", "-q", "--json")
    assert [Path(one["path"]).name for one in json.loads(result.stdout)["pictures"]] == ["one.png", "two.png"]


def test_resuming_several_images_makes_those_that_are_missing(photos, tmp_path) -> None:
    out = tmp_path / "out"
    assert call(*photos[:2], "-o", out, "-q").exit_code == 0
    (out / "two.png").unlink()
    before = (out / "one.png").stat().st_mtime_ns
    assert call(*photos[:2], "-o", out, "-q", "--resume").exit_code == 0
    assert (out / "one.png").stat().st_mtime_ns == before
    assert (out / "two.png").exists()


def test_what_several_images_cannot_go_into_is_one_sentence(photos, tmp_path) -> None:
    result = call(*photos, "-o", tmp_path / "out.png", "-q")
    assert result.exit_code == 2
    assert "must be a folder, not a file" in result.output
    result = call(photos[0], tmp_path / "other", "-o", tmp_path / "out", "-q")
    assert result.exit_code == 2
    assert "dream into it alone" in result.output


def test_a_preview_is_whole_small_and_the_last_step(photos, tmp_path) -> None:
    network, seen = dreamopt.load_net(device="cpu"), []
    preview = Preview(tmp_path / "preview.png", network, seconds=0, largest=20)

    def look(progress: Progress) -> None:
        shown = read_written(tmp_path / "preview.png")
        large = network.to_rgb(progress.images())[0].numpy()
        seen.append((shown.shape, float(np.abs(shown.mean((0, 1)) - large.mean((0, 1))).max())))

    dreamopt.dream(network, photos[0], "mixed3", octaves=2, steps=2, callbacks=[preview, look])
    assert [shape for shape, _ in seen] == [(14, 20, 3)] * 4
    assert max(difference for _, difference in seen) < 3
    assert not list(tmp_path.glob("*.tmp"))


def test_a_preview_comes_every_few_seconds_and_its_failure_ends_nothing(photos, tmp_path, monkeypatch) -> None:
    network = dreamopt.load_net(device="cpu")
    preview = Preview(tmp_path / "folder" / "preview.png", network, seconds=1e6)
    dreamopt.dream(network, photos[0], "mixed3", octaves=2, steps=2, callbacks=[preview])
    first = read_written(tmp_path / "folder" / "preview.png")
    assert first.shape[:2] == (24, 34)  # of the first octave
    (tmp_path / "file").write_text("no folder")
    preview.path, preview.seconds = tmp_path / "file" / "preview.png", 0
    with pytest.warns(DreamoptWarning, match="there is no preview any more: .*cannot be written") as caught:
        one = dreamopt.dream(network, photos[0], "mixed3", octaves=2, steps=2, callbacks=[preview])
    assert len(caught) == 1
    assert not one.interrupted


def test_the_command_writes_a_preview_and_refuses_another_kind(photos, tmp_path) -> None:
    assert call(photos[0], "-o", tmp_path / "out.png", "-q", "--preview", tmp_path / "preview.png").exit_code == 0
    assert read_written(tmp_path / "preview.png").shape == (24, 34, 3)
    result = call(photos[0], "-o", tmp_path / "out2.png", "-q", "--preview", tmp_path / "preview.jpg")
    assert result.exit_code == 2
    assert "the preview" in result.output
    assert not (tmp_path / "out2.png").exists()
    with pytest.raises(UsageError, match="must end in"):
        Preview("preview.gif", dreamopt.load_net(device="cpu"))


def test_memory_changes_no_more_than_rounding(photos, tmp_path) -> None:
    result = call(photos[0], "-o", tmp_path / "whole.png", "-q")
    assert result.exit_code == 0
    result = call(photos[0], "-o", tmp_path / "tiles.png", "-q", "--memory", "900MB")
    assert result.exit_code == 0, result.output
    assert np.abs(read_written(tmp_path / "whole.png").astype(int) - read_written(tmp_path / "tiles.png")).max() <= 1
    assert read_metadata(tmp_path / "whole.png")["plan"] == read_metadata(tmp_path / "tiles.png")["plan"]
    result = call(photos[0], "-o", tmp_path / "tiles.png", "-q", "--memory", "1.5 gigs")
    assert result.exit_code == 2
    assert "--memory must be a number of bytes" in result.output


def test_a_dream_goes_on_in_the_middle_of_an_octave_with_the_same_bits(photos, tmp_path) -> None:
    network = dreamopt.load_net(device="cpu")
    plan = plan_dream(network, photos[0], "mixed3", resolve_settings("deepdream2015", {"octaves": 3, "steps": 4}))
    [whole] = run_plan(plan, network)
    for steps in (2, 6, 11):  # in the first, second and third octave
        made: list[Progress] = []
        out = tmp_path / f"{steps}.png"
        with FolderStore(out, every=1) as store:
            [cut] = run_plan(
                plan,
                network,
                store=store,
                callbacks=[lambda p, made=made: made.append(p) and None],
                stop=lambda made=made, steps=steps: len(made) == steps,
            )
        assert cut.interrupted
        assert cut.image.shape == whole.image.shape
        with FolderStore(out, every=1, resume=True) as store:
            count: list[int] = []
            [again] = run_plan(plan, network, store=store, callbacks=[lambda p, count=count: count.append(p.step) and None])
            store.finish([again])
        assert len(count) == 12 - steps
        assert np.array_equal(again.image, whole.image)
        assert not (tmp_path / f"{steps}.png.checkpoint").exists()


def test_ctrl_c_writes_the_image_as_it_is_and_resume_finishes_it(photos, tmp_path) -> None:
    out = tmp_path / "out.png"
    words = [photos[0], "-t", "mixed3", "--octaves", "2", "--steps", "150", "-o", out, "--device", "cpu", "--checkpoint", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamopt", "dream", *map(str, words)], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    while "steps/s" not in line:
        line = process.stderr.readline()
        assert line, "it ended"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=120)[1]
    assert process.returncode == 130, rest
    assert "interrupted; 1 of 1 images written" in rest
    metadata = read_metadata(out)
    assert metadata["interrupted"] is True
    assert read_written(out).shape == (33, 47, 3)
    result = CliRunner().invoke(cli, ["dream", *map(str, words), "--resume", "-q"])
    assert result.exit_code == 0, result.output
    assert read_metadata(out)["interrupted"] is False


@pytest.mark.parametrize(("memory", "first", "second"), [(40_000_000, 12_400_000, 16_000_000), (None, 3_000_000, 7_500_000)])
def test_a_resumed_dream_has_the_tiles_that_it_began_with(tmp_path, monkeypatch, memory, first, second) -> None:
    """What is free, and what the process has, are other numbers every time."""
    from dreamopt.recipes import memory as room

    def machine(free: int) -> None:
        monkeypatch.setattr(room, "used_memory", lambda device: 50_000_000 - free)
        monkeypatch.setattr(room, "free_memory", lambda device: free)
        monkeypatch.setattr(room, "_SMALL", 1)
        monkeypatch.setattr(room, "bytes_of_images", lambda plan, network: 1_000_000)
        monkeypatch.setattr(room, "_LEAST_SHARE", 0.01)

    network, image = dreamopt.load_net(device="cpu"), np.random.default_rng(0).integers(0, 256, (140, 190, 3))
    plan = plan_dream(network, image, "mixed3", resolve_settings("deepdream2015", {"octaves": 2, "steps": 2}))
    machine(first)
    tiles: list[tuple[int, int]] = []
    [whole] = run_plan(plan, network, memory=memory, tile=lambda done, count: tiles.append((done, count)))
    assert max(count for _, count in tiles) > 1
    assert all(1 <= done <= count for done, count in tiles)
    made: list[Progress] = []
    with FolderStore(tmp_path / "out.png", every=1) as store:
        run_plan(plan, network, store=store, memory=memory, callbacks=[lambda p: made.append(p) and None], stop=lambda: len(made) == 3)
    machine(second)
    with FolderStore(tmp_path / "out.png", every=1, resume=True) as store:
        [again] = run_plan(plan, network, store=store, memory=memory)
    assert again.metadata["made_with"]["tile_memory"] == whole.metadata["made_with"]["tile_memory"]
    assert np.array_equal(again.image, whole.image)
    assert np.array_equal(replay(network, whole.metadata, plan=plan).image, whole.image)
    for wrong, sentence in (("x", "must be a number"), (0, "must be"), (1, "give more")):
        made_with = {**whole.metadata["made_with"], "tile_memory": wrong}
        with pytest.raises(DreamoptError, match=sentence):
            replay(network, {**whole.metadata, "made_with": made_with}, plan=plan)
    [other] = run_plan(plan, network, memory=memory)
    assert other.metadata["made_with"]["tile_memory"] != whole.metadata["made_with"]["tile_memory"]
    assert np.abs(other.image.astype(int) - whole.image).mean() < 0.5


def test_a_dream_that_ran_out_of_memory_goes_on_with_the_tiles_that_it_had_then(tmp_path, monkeypatch) -> None:
    from dreamopt.backends.engine import EngineBackend

    network, image = dreamopt.load_net(device="cpu"), np.random.default_rng(0).integers(0, 256, (140, 190, 3))
    plan = plan_dream(network, image, "mixed3", resolve_settings("deepdream2015", {"octaves": 1, "steps": 5}))
    compute, made = EngineBackend.activations, list[Progress]()

    def scarce(self, x, layers, **more):
        if len(made) >= 2 and x.shape[2] * x.shape[3] > 140 * 190 // 2:
            raise MemoryError
        return compute(self, x, layers, **more)

    monkeypatch.setattr(EngineBackend, "activations", scarce)
    memory = 2_000_000_000
    [whole] = run_plan(plan, network, memory=memory, callbacks=[lambda p: made.append(p) and None])
    assert whole.metadata["made_with"]["tile_memory"] < memory // 10
    made.clear()
    with FolderStore(tmp_path / "out.png", every=1) as store:
        run_plan(plan, network, store=store, memory=memory, callbacks=[lambda p: made.append(p) and None], stop=lambda: len(made) == 4)
    monkeypatch.setattr(EngineBackend, "activations", compute)  # there is enough again
    with FolderStore(tmp_path / "out.png", every=1, resume=True) as store:
        [again] = run_plan(plan, network, store=store, memory=memory)
    assert again.metadata["made_with"]["tile_memory"] == whole.metadata["made_with"]["tile_memory"]
    assert np.array_equal(again.image, whole.image)
