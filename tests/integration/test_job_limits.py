"""Numbers of a job that nobody can mean: one sentence each, before anything is computed or allocated."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import dreamopt
from dreamopt.cli import main
from dreamopt.errors import DreamoptError, OutOfMemoryError, ShapeError, UsageError
from dreamopt.image.sizes import seen_size
from dreamopt.image.transform import Transform, as_transforms
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream
from dreamopt.problem import Problem
from dreamopt.recipes import Settings, plan_render
from dreamopt.recipes.memory import Need, fitting

GB = 10**9


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--size 30000", " GB, but 1 GB of memory are free (DREAMOPT_MOST_MEMORY allows no more); images of about"),
        ("--size 100000", "size must be a whole number from 1 to 32768, not 100000"),
        ("--transform pad(32000)", "an image of 64096 x 64096 pixels, which the transform Pad(pixels=32000) makes, takes 49.3 GB, but 1 GB"),
        ("--transform pad(1000000000)", "from 0 to 32768"),
        ("--transform resize(30000)", "an image of 30000 x 30000 pixels, which the transform"),
        ("--views 1000000", "fewer than 1000000 views would fit"),
        ("--variants 1000000000", "the job has 1000000000 images or more, but at most 20000 are allowed, unless DREAMOPT_MOST_IMAGES says more"),
        ("--octaves 1000", "an image of 96 x 96 pixels has no 1000 octaves, each 1.4 times smaller; the most are 16"),
        ("--octaves 3 --octave-scale inf", "octave_scale must be a finite number"),
        ("--octaves 3 --octave-scale 1e29", "the most are 1"),
        ("--steps 1000000000000", "steps must be a whole number from 1 to 1000000000"),
        ("--batch-size 1000000000000", "batch_size must be a whole number"),
        ("--redirected 1000000000000000000000000000000", "redirected must be a whole number"),
        ('--set stages=[{"zoom":300},{"zoom":300}]', "zoom 300 of stage 1 turns an image of 28800 x 28800 pixels into none that can be made; allowed"),
        ('--set stages=[{"zoom":300}]', "a batch of 1 image of 28800 x 28800 pixels takes"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_the_command_line_says_it_in_one_line(options: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", str(GB))
    done = CliRunner().invoke(main, ["render", "-t", "pool5:0", "--steps", "1", "-q", "-o", str(tmp_path / "o.png"), *options.split(" ")])
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit)
    assert sentence in done.output.splitlines()[-1]
    assert not (tmp_path / "o.png").exists()


def test_units_of_a_layer_without_end(network: dreamopt.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_MOST_IMAGES", "30")
    with pytest.raises(UsageError, match="the job has 31 images or more, but at most 30"):
        plan_render(network, "conv2:*")
    assert len(plan_render(network, "conv2:0-29").samples) == 30


def test_octaves_that_the_target_cannot_take_say_how_many_fit() -> None:
    text = 'input: "data" input_shape { dim: 1 dim: 3 dim: 64 dim: 64 }\n' + "".join(
        f'layer {{ name: "p{i}" type: "Convolution" bottom: "{f"p{i - 1}" if i else "data"}" top: "p{i}" convolution_param {{ num_output: 2 kernel_size: 8 }} }}\n'
        for i in range(3)
    )
    from dreamopt.schema import parse_net

    with pytest.warns(dreamopt.errors.DreamoptWarning):
        small = dreamopt.load_net(parse_net(text, "net"), device="cpu")
    # three kernels of 8 take 22 pixels: 64, 32, but not 16
    with pytest.raises(ShapeError, match=r"the first of 4 octaves, 8 x 8 pixels, .*fewer octaves \(the last 2 fit\)"):
        plan_render(small, "p2:1", Settings(octaves=4, octave_scale=2, transforms=(), jitter=0))
    assert [stage.size for stage in plan_render(small, "p2:1", Settings(octaves=2, octave_scale=2, transforms=(), jitter=0)).stages] == [
        (32, 32),
        (64, 64),
    ]


def test_a_problem_in_python_is_refused_before_it_draws(network: dreamopt.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(network, "pool5:0", size=4000)
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", str(GB))
    with pytest.raises(OutOfMemoryError, match=r"a step of 1 image of 4000 x 4000 pixels takes 1.15 GB, but 1 GB of memory are free"):
        problem.start()
    with pytest.raises(OutOfMemoryError, match=r"a step of 1 image of 20000 x 20000 pixels takes 28.8 GB"):
        Problem(network, "pool5:0", size=20000).start()
    assert Problem(network, "pool5:0", size=40).start().shape == (1, 3, 40, 40)


class Looks(Transform):
    """One that looks at the image's values, and so needs an image that has some."""

    def apply(self, image, streams, context):  # type: ignore[no-untyped-def]  # as somebody writes it
        return image[:, :, : 3 + int(image.sum().item() == 0)]


def test_the_size_that_the_net_sees_is_that_of_the_image_itself() -> None:
    import torch

    space = ImageSpace((3, 20, 30), torch.full((3, 1, 1), -99.0), torch.full((3, 1, 1), 99.0), 1.0, torch.zeros(()), "BGR", (16, 18))
    context = StepContext(space=space)
    from dreamopt.image.transform import transforms

    kinds = [transforms.get(name).make for name in transforms.names()]
    sets = [[example] for kind in kinds for example in kind.examples] + [["pad(3)", "crop_jitter(2)", "resize(11, 7)"], [Looks()]]
    assert len(sets) > 30
    for parts in sets:
        image = torch.zeros(1, 3, 20, 30)
        for transform in as_transforms(parts):
            image = transform(image, [Stream(0, 0)], context)
        assert seen_size(as_transforms(parts), space, context) == tuple(image.shape[2:]), parts


def test_what_would_fit_fits() -> None:
    need = Need((600, 800), 1.0 * GB, 2.0 * GB)
    assert fitting(need, 8, 5.0 * GB) == "a batch of 2 would fit (batch_size), or images of about 440 x 330 pixels"
    assert fitting(need, 1, 0.5 * GB) == "images of about 400 x 300 pixels would fit"
    assert fitting(Need((600, 800), 1.0 * GB, 2.0 * GB, views=4), 1, 0.5 * GB).startswith("fewer than 4 views would fit")


def test_a_job_that_fits_by_the_hint_is_made(network: dreamopt.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", str(60 * 10**6))
    with pytest.raises(DreamoptError, match="would fit") as refused:
        dreamopt.render(network, "pool5:0", size=900, steps=1)
    import re

    found = re.search(r"about (\d+) x (\d+) pixels", str(refused.value))
    assert found is not None
    side = int(found[1])
    assert 32 < side < 900
    [one] = dreamopt.render(network, "pool5:0", size=side, steps=1)
    assert one.image.shape == (side, side, 3)
