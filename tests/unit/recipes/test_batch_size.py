"""The best batch size: measured until it grows no more, remembered per net and machine, never in the way, and of no matter for images."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import dreamopt
from dreamopt.cli import main
from dreamopt.errors import OutOfMemoryError, UsageError
from dreamopt.optimize import Progress
from dreamopt.recipes import Settings, batch_size, plan_render
from dreamopt.recipes.batch_size import Rates, Remembered, measured_rates
from dreamopt.recipes.mixed import Group, joined, work_of
from dreamopt.recipes.render import run_plan
from dreamopt.recipes.store import FolderStore


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


def took(overhead: float, each: float, most: int = 10**9) -> tuple[list[int], object]:
    asked: list[int] = []

    def seconds(count: int) -> float:
        asked.append(count)
        if count > most:
            raise OutOfMemoryError("no")
        return overhead + each * count

    return asked, seconds


@pytest.mark.parametrize(
    ("overhead", "each", "limits", "sizes", "best", "complete"),
    [
        (0.0, 0.1, (64, 99), [1, 2, 4], 1, True),  # batches give nothing: two sizes tell
        (0.5, 0.1, (64, 10**6), [1, 2, 4, 8, 16, 32, 64], 64, False),  # the job has no more
        (0.5, 0.1, (64, 8), [1, 2, 4, 8, 16], 8, True),  # nor the memory
        (1.0, 0.0, (1000, 10**6), [1, 2, 4, 8, 16, 32, 64, 128, 256], 256, True),
    ],
)
def test_sizes_double_until_the_rate_grows_no_more(
    overhead: float, each: float, limits: tuple[int, int], sizes: list[int], best: int, complete: bool
) -> None:
    asked, seconds = took(overhead, each, limits[1])
    rates = measured_rates(seconds, limits[0])  # type: ignore[arg-type]  # a function
    assert asked == sizes
    assert (rates.best, rates.complete) == (best, complete)
    assert rates.rates == {count: pytest.approx(count / (overhead + each * count)) for count in asked if count <= limits[1]}


def test_one_size_that_does_not_grow_is_no_end() -> None:
    times = {1: 1.0, 2: 2.0, 4: 2.0, 8: 3.9, 16: 7.9, 32: 16.0}
    rates = measured_rates(lambda count: times[count], 256)
    assert (list(rates.rates), rates.best, rates.complete) == ([1, 2, 4, 8, 16], 4, True)


def test_small_gains_add_up() -> None:
    rates = measured_rates(lambda count: count / {1: 10.0, 2: 10.4, 4: 10.8, 8: 11.0, 16: 11.1}[count], 256)
    assert (list(rates.rates), rates.best) == ([1, 2, 4, 8, 16], 4)


def test_what_is_known_goes_on_where_a_job_has_more_images() -> None:
    known = Rates({1: 1.0, 2: 1.6, 4: 2.3})
    assert known.serves(7)
    assert not known.serves(8)
    asked, seconds = took(0.5, 0.1)
    assert list(measured_rates(seconds, 16, known=known).rates) == [1, 2, 4, 8, 16]  # type: ignore[arg-type]  # a function
    assert asked == [8, 16]


def test_no_larger_size_is_begun_where_the_time_is_spent() -> None:
    asked, seconds = took(0.5, 0.1)
    assert not measured_rates(seconds, 64, budget=3.0).complete  # type: ignore[arg-type]  # a function
    assert asked == [1]  # of which the next takes six times 0.6 s


KEY = {"net": "a", "threads": 2, "transforms": ("jitter(3)",)}


def test_rates_are_remembered_by_their_key(tmp_path: Path) -> None:
    rates = Rates({1: 1.5, 2: 2.5, 4: 2.625}, True)
    assert Remembered(KEY, tmp_path).read() is None
    assert Remembered(KEY, tmp_path).write(rates)
    assert Remembered(KEY, tmp_path).read() == rates
    assert Remembered(KEY | {"threads": 1}, tmp_path).read() is None
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]  # nothing half written


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"key": {}, "rates": {"1": 2.0}, "complete": true}',
        b'KEY "rates": {}, "complete": true}',
        b'KEY "rates": {"1": -2.0}, "complete": true}',
        b'KEY "rates": {"1": 1e999}, "complete": true}',
        b'KEY "rates": {"1": "x"}, "complete": true}',
        b'KEY "rates": {"3": 2.0}, "complete": true}',
        b'KEY "rates": {"1": 2.0, "1000000": 5.0}, "complete": true}',
        b'KEY "rates": {"1": 2.0}, "complete": 7}',
        b'KEY "rates": 5, "complete": true}',
    ],
)
def test_a_damaged_or_foreign_file_is_none_and_is_written_anew(content: bytes, tmp_path: Path) -> None:
    remembered = Remembered(KEY, tmp_path)
    remembered.path.write_bytes(content.replace(b"KEY", b'{"key": ' + json.dumps(remembered.key).encode() + b","))
    assert remembered.read() is None
    assert remembered.write(Rates({1: 2.0}))
    assert remembered.read() == Rates({1: 2.0})


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    remembered = Remembered(KEY, tmp_path / "file")
    assert not remembered.write(Rates({1: 2.0}))
    assert remembered.read() is None
    folder = Remembered(KEY, tmp_path)
    folder.path.mkdir()
    assert not folder.write(Rates({1: 2.0}))
    assert folder.read() is None


JOB = {"targets": "conv2:0-4", "settings": Settings(size=40, steps=2)}


def plan_of(network: dreamopt.Network, said: list[str], **changes: object) -> batch_size.Plan:  # type: ignore[name-defined]  # of its type hints
    return plan_render(network, "conv2:0-4", Settings(**{"size": 40, "steps": 2, **changes}), say=said.append)  # type: ignore[arg-type]  # by name


@pytest.fixture
def worth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Let every job be worth measuring, by a clock on which two images together cost what one does, and four twice that."""
    asked: list[int] = []
    monkeypatch.setenv("DREAMOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(batch_size, "_FEW", 0)
    monkeypatch.setattr(batch_size, "WORTH", 0.0)
    monkeypatch.setattr(batch_size, "_PART", 1e9)

    def seconds(count: int) -> float:
        asked.append(count)
        return max(1.0, count / 2)

    monkeypatch.setattr(batch_size, "_timer", lambda *_: seconds)
    return asked


def test_it_is_measured_once_and_the_images_are_the_same(network: dreamopt.Network, worth: list[int]) -> None:
    said: list[str] = []
    plan = plan_of(network, said)
    assert worth == [1, 1, 2, 4]
    assert (plan.settings.batch_size, plan.batches) == (2, ((0, 1), (2, 3), (4,)))
    assert plan_of(network, said) == plan
    assert worth == [1, 1, 2, 4]
    assert said[0].startswith("batches of 2 images: evaluations per second by batch size 1: 1, 2: 2, 4: 2 (remembered in ")
    assert "measured before" in said[1]
    plan_of(network, said, size=44)  # another size is measured by itself
    assert worth == [1, 1, 2, 4] * 2
    by_hand = plan_of(network, said, batch_size=5)
    assert (len(said), by_hand.batches) == (3, ((0, 1, 2, 3, 4),))
    for one, other in zip(run_plan(plan, network), run_plan(by_hand, network), strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_a_resumed_job_keeps_its_batches_whatever_is_remembered(network: dreamopt.Network, worth: list[int], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    options = {"targets": "conv2:0-4", "size": 40, "steps": 2}
    with pytest.raises(RuntimeError, match="crash"):
        dreamopt.render(network, **options, store=FolderStore(out, every=1), callbacks=[crash])  # type: ignore[arg-type]  # by name
    for path in (tmp_path / "cache" / "batches").iterdir():
        path.unlink()
    assert worth == [1, 1, 2, 4]
    made = dreamopt.render(network, **options, store=FolderStore(out, every=1, resume=True))  # type: ignore[arg-type]  # by name
    assert worth == [1, 1, 2, 4]
    assert [one.metadata["settings"]["batch_size"] for one in made] == [2] * 5


def crash(progress: Progress) -> None:
    if progress.problem.n == 1:  # the last batch
        raise RuntimeError("crash")


def test_short_work_and_single_images_are_not_measured(network: dreamopt.Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DREAMOPT_CACHE", str(tmp_path))
    monkeypatch.setattr(batch_size, "_timer", lambda *_: pytest.fail("measured"))
    said: list[str] = []
    assert plan_of(network, said).settings.batch_size == 8
    for target in ("conv1:0", "diversity('conv1') + conv1:0"):  # alone, or all together in any case
        plan = plan_render(network, target, Settings(size=40, steps=100_000), variants=2 if "div" in target else 1, say=said.append)
        assert plan.settings.batch_size == 8
    assert (said, list(tmp_path.iterdir())) == ([], [])


def test_different_layers_share_a_batch_where_that_pays(network: dreamopt.Network, worth: list[int]) -> None:
    """Two images cost what one does: layers of nearly the same depth are joined, and give the images that each gives alone."""
    targets = ["mixed4:1", "mixed5:2", "conv1:3", "conv1:5", "mixed5:0"]
    plan = plan_render(network, targets, Settings(size=48, steps=3))
    assert worth == [1, 1, 2, 4]
    assert plan.batches == ((0,), (1, 4), (2, 3))  # two of a layer are full batches
    plan = plan_render(network, targets[:4], Settings(size=48, steps=3))
    assert plan.batches == ((0, 1), (2, 3))
    apart = plan_render(network, targets[:4], Settings(size=48, steps=3, batch_size=1))
    for one, other in zip(run_plan(plan, network), run_plan(apart, network), strict=True):
        assert one.sample.text == other.sample.text
        assert np.abs(one.image.astype(float) - other.image).max() <= 1
        assert one.value == pytest.approx(other.value, rel=1e-5)
    assert plan_render(network, targets[:4], Settings(size=48, steps=3, rule="guided")).batches == ((0,), (1,), (2, 3))
    far = plan_render(network, ["mixed5:1", "conv1:3"], Settings(size=48, steps=3))
    assert len(far.batches) == (2 if work_of(network, ["conv1"]) < 0.05 * work_of(network, ["mixed5"]) else 1)


def test_joined_groups_take_less_than_0_95_of_the_time() -> None:
    alone = [Group((0,), 10.0), Group((1,), 9.0), Group((2, 3), 8.0), Group((4,), 1.0)]
    assert joined(alone, 8, lambda count: float(count)) == alone  # batches gain nothing
    # Half of a step does not grow: 10 x 1.5 for 19, then 10 x 2.5 for 15 + 8 x 1.5; then 10 x 3 for 25 + 1.
    assert joined(alone, 8, lambda count: 0.5 + 0.5 * count) == [Group((0, 1, 2, 3), 10.0), Group((4,), 1.0)]
    assert joined(alone, 3, lambda count: 0.5 + 0.5 * count) == [Group((0, 1), 10.0), Group((2, 3), 8.0), Group((4,), 1.0)]


def test_what_is_measured_is_a_step_of_the_job(network: dreamopt.Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(batch_size, "_FEW", 0)
    monkeypatch.setattr(batch_size, "WORTH", 0.0)
    monkeypatch.setattr(batch_size, "_PART", 1e9)
    plan, said = plan_of(network, [], batch_size=1), list[str]()
    rates = batch_size.batch_rates(plan, network, said.append, tmp_path)
    assert rates is not None
    assert rates.best in (1, 2, 4)
    [file] = tmp_path.iterdir()
    kept = json.loads(file.read_text())
    assert set(kept["rates"]) == {"1", "2", "4"}
    assert (kept["key"]["layers"], kept["key"]["size"], kept["key"]["weights"]) == (["conv2"], [40, 40], network.hash())
    before = time.perf_counter()
    seconds = batch_size._timer(plan, network, list(plan.samples), 0)(2)
    assert 0 < seconds < time.perf_counter() - before
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMOPT_MOST_MEMORY", "1000000")
        with pytest.raises(OutOfMemoryError):
            batch_size._timer(plan, network, list(plan.samples), 0)(2)


def test_on_the_command_line(worth: list[int], tmp_path: Path) -> None:
    def go(name: str, *more: str) -> str:
        command = ["render", "-t", "conv2:0-4", "--size", "40", "--steps", "1", "-o", str(tmp_path / name), *more]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        return done.stderr

    assert go("a.png").count("dreamopt: batches of 2 images: ") == 1
    assert "batches of" not in go("b.png", "-q")
    assert "batches of" not in go("c.png", "--batch", "4")
    assert "batches of 2 images" in go("d.png", "--batch-size", "auto")
    assert worth == [1, 1, 2, 4]
    refused = CliRunner().invoke(main, ["render", "-t", "conv2:0", "--batch", "x"])
    assert "'x' is neither a whole number above 0 nor auto" in refused.stderr


def test_a_batch_size_is_a_number_or_auto() -> None:
    assert Settings().batch_size == "auto"
    assert replace(Settings(), batch_size=3).batch_size == 3
    with pytest.raises(UsageError, match="batch_size must be a whole number"):
        Settings(batch_size="many")
