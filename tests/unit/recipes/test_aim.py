"""What a dream aims at in its layers, by function and by command: a guide, or channels by rank."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import DreamoptError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.objective import parse
from dreamopt.recipes import Aim, InitImage, plan_dream

PIXELS = np.random.default_rng(4).integers(0, 256, (40, 46, 3)).astype(np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    Image.fromarray(PIXELS[:30, ::-1]).save(tmp_path / "guide.png")
    return tmp_path / "photo.png", tmp_path / "guide.png"


@pytest.mark.parametrize(
    ("aim", "expected"),
    [
        (Aim(), "2*mixed3 - conv2"),
        (Aim(rank=5), '2*Ranked("mixed3", 5) - Ranked("conv2", 5)'),
        (
            Aim(rank="10%", rank_mode="weak", rank_capture="octave"),
            '2*Ranked("mixed3", "10%", mode="weak", capture="octave") - Ranked("conv2", "10%", mode="weak", capture="octave")',
        ),
        (Aim(guide="g.png"), '2*Guide("mixed3", "g.png", longest=640) - Guide("conv2", "g.png", longest=640)'),
        (
            Aim(guide="g.png", guide_mode="channels", guide_size=99),
            '2*Guide("mixed3", "g.png", match="channels", longest=99) - Guide("conv2", "g.png", match="channels", longest=99)',
        ),
        (Aim(guide="g.png", guide_mode="style"), '2*Style("mixed3", "g.png", longest=640) - Style("conv2", "g.png", longest=640)'),
    ],
)
def test_it_takes_the_place_of_each_layers_energy(aim: Aim, expected: str) -> None:
    assert str(aim.of(parse("2*mixed3 - conv2"))) == expected
    assert str(parse(expected)) == expected


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Aim(rank=2).of(parse("conv2:3")), "channels by rank can be asked for with layers alone as targets, not with conv2:3"),
        (lambda: Aim(guide="g.png").of(parse('energy("conv2", "mean")')), "a guide can be asked for with layers alone"),
        (lambda: Aim(guide="g.png", rank=3), "a guide, or channels by rank, not both"),
        (lambda: Aim(guide_mode="rows"), "guide_mode must be"),
        (lambda: Aim(guide_size=0), "guide_size must be"),
        (lambda: Aim(rank="0%"), "a percentage above 0"),
        (lambda: Aim(rank=3, rank_mode="loud"), "mode must be"),
    ],
)
def test_what_does_not_fit_is_refused(make: object, says: str) -> None:
    with pytest.raises(DreamoptError, match=says):
        make()  # type: ignore[operator]  # a function


@pytest.mark.parametrize("mode", ["columns", "channels", "style"])
def test_a_guide_by_command_is_that_of_the_function_and_is_made_again(mode: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    photo, guide = map(str, files)
    out = str(tmp_path / "out.png")
    quick = ["--octaves", "2", "--steps", "2", "--device", "cpu", "-q"]
    done = CliRunner().invoke(cli, ["dream", photo, "--guide", guide, "--guide-mode", mode, *quick, "-o", out])
    assert done.exit_code == 0, done.output
    net = dreamopt.load_net(device="cpu")
    one = dreamopt.dream(net, PIXELS, None, guide=PIXELS[:30, ::-1], guide_mode=mode, octaves=2, steps=2)
    assert np.array_equal(read_written(out), one.image)
    assert np.abs(one.image.astype(int) - PIXELS).mean() > 1
    metadata = read_metadata(out)
    assert set(metadata["inputs"]) >= {photo, guide}
    again = CliRunner().invoke(cli, ["replay", out, "--file", guide, "--init", photo, "-o", str(tmp_path / "again.png")])
    assert again.exit_code == 0, again.output
    assert np.array_equal(read_written(tmp_path / "again.png"), one.image)


def test_ranks_by_command(files: tuple[Path, Path], tmp_path: Path) -> None:
    quick = ["--octaves", "2", "--steps", "2", "--device", "cpu", "-q"]
    words = ["dream", str(files[0]), "-t", "mixed3", "--rank", "7", "--rank-mode", "avg", *quick, "-o", str(tmp_path / "out.png")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    one = dreamopt.dream(dreamopt.load_net(device="cpu"), PIXELS, 'ranked("mixed3", 7, "avg")', octaves=2, steps=2)
    assert np.array_equal(read_written(tmp_path / "out.png"), one.image)
    refused = CliRunner().invoke(cli, ["dream", str(files[0]), "--rank", "few", "-o", str(tmp_path / "no.png")])
    assert refused.exit_code != 0
    assert "not 'few'" in refused.stderr


def test_a_frame_is_ranked_by_itself() -> None:
    """A film's frames are dreamed by one plan with another init each."""
    from dataclasses import replace

    net = dreamopt.load_net(device="cpu")
    plan = plan_dream(net, PIXELS, "mixed3", aim=Aim(rank=3))
    other = replace(plan, init=InitImage.of(255 - PIXELS, "frame 2"))
    first, second = (one.problem(net, one.samples, 0).objective for one in (plan, other))
    assert first != second
    assert first == plan_dream(net, PIXELS, 'ranked("mixed3", 3)').problem(net, plan.samples, 0).objective
