"""What is said of a render that ended flat or below its start, and a penalty's share, on the embedded net."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.errors import DreamoptWarning
from dreamopt.network import Network
from dreamopt.objectives import Channel
from dreamopt.optimize import Ascent, run
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.problem import Problem
from dreamopt.recipes import Settings
from dreamopt.recipes.ending import Ending, outweighing, shrinking
from dreamopt.recipes.preset import preset, with_assignments
from dreamopt.regularizers import L2, Share, TotalVariation

SMALL = {"size": (40, 44), "steps": 24}


@pytest.fixture(scope="module")
def net() -> Network:
    return dreamopt.load_net()


def _made(net: Network, assignments: list[str]) -> dreamopt.recipes.Rendered:
    [one] = dreamopt.render(net, "conv2:5", with_assignments(Settings(**SMALL), assignments))
    return one


def test_a_weight_that_outweighs_is_named_and_both_ways_out_work(net: Network) -> None:
    with pytest.warns(DreamoptWarning, match="flat"):
        flat = _made(net, ["tv.weight=10", "decay.rate=0"])
    said = str(flat.metadata["warning"])
    found = re.search(r"try weight (\S+), or --set (\S+),", said)
    assert found is not None, said
    for advice in (f"tv.weight={found[1]}", found[2]):
        one = _made(net, [advice, "decay.rate=0"])
        assert one.metadata["warning"] is None
        assert one.image.astype(float).std((0, 1)).max() > 10
        assert one.value > one.metadata["first_value"]


def test_a_projection_that_takes_the_contrast_is_named(net: Network) -> None:
    with pytest.warns(DreamoptWarning, match=r"Decay\(0.95\) takes 95% of the start's contrast"):
        _made(net, ["decay.rate=0.95"])


def test_a_run_below_its_start_says_so(net: Network) -> None:
    result = run(Problem(net, "conv2:5", (), (24, 28)), Ascent(2), 9)
    said = Ending(result, 0, float(result.best_values[0]) + 3, float(result.values[0]), None, 0).warning()
    assert said is not None
    found = re.fullmatch(
        r"it ended at .*, below the .* that it began with; with the optimizer (Ascent.*) the value rises from (\S+) to (\S+) in 9 steps",
        said,
    )
    assert found is not None, said
    again = run(Problem(net, "conv2:5", (), (24, 28)), parse_optimizer(found[1]), 9)
    assert (f"{again.history[0][0]:.4g}", f"{again.values[0]:.4g}") == (found[2], found[3])
    assert again.values[0] > again.history[0][0]
    assert Ending(result, 0, float(result.values[0]) - 3, float(result.values[0]), None, 0).warning() is None
    few = run(Problem(net, "conv2:5", (), (24, 28)), Ascent(2), 3)
    assert Ending(few, 0, float(few.values[0]) + 3, float(few.values[0]), None, 0).warning() is None


PADDED = """
input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 11 }
layer { name: "shift" type: "Power" bottom: "data" top: "shift" power_param { shift: 50 } }
layer { name: "conv" type: "Convolution" bottom: "shift" top: "conv" convolution_param { num_output: 2 kernel_size: 1 pad: 1
  weight_filler { type: "constant" value: -1 } bias_filler { type: "constant" value: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.mark.filterwarnings("ignore:the weights of")
def test_an_image_that_stays_the_noise_it_needed_says_so(tmp_path: Path) -> None:
    path = tmp_path / "padded.prototxt"
    path.write_text(PADDED)
    net = dreamopt.load_net(path, mean=(100, 100, 100))
    settings = with_assignments(
        Settings(steps=12, transforms=(), jitter=0, blur=0), ["parametrization=pixels(noise=0)", "optimizer=plain(1e-3)"]
    )
    with pytest.warns(DreamoptWarning, match="pool:1: the image still shows the noise that it began with, without which the gradient"):
        [one] = dreamopt.render(net, "pool:1", settings)
    said = str(one.metadata["warning"])
    assert said.endswith("its own padding; aim at 'conv', which is before 'relu'")
    advised = Problem(net, "conv:1", parametrization="pixels(noise=0)")
    assert advised.evaluate(advised.start()).dead() == []


@pytest.mark.parametrize("parametrization", ["pixels(noise=20)", "fourier(noise=9)"])
def test_a_share_has_its_size_in_every_net(net: Network, parametrization: str) -> None:
    """A net whose values are a thousand times as large gives the same image, and the value stays the objective's."""
    objective = Channel("conv2", 3)
    share = "share(total_variation(0.5), 0.4)"
    problems = [Problem(net, one, [share], (24, 28), parametrization=parametrization, batch=2) for one in (objective, 1024 * objective)]
    plain = Problem(net, objective, (), (24, 28), parametrization=parametrization, batch=2)
    small, large = (run(problem, Ascent(3, norm="l2"), 5) for problem in problems)
    torch.testing.assert_close(large.images, small.images, rtol=1e-4, atol=1e-2)
    params = small.params
    evaluation = problems[0].evaluate(params)
    torch.testing.assert_close(evaluation.values, plain.evaluate(params).values)
    if parametrization.startswith("pixels"):
        away = plain.evaluate(params).gradient - evaluation.gradient
        ratio = away.flatten(1).norm(dim=1) / plain.evaluate(params).gradient.flatten(1).norm(dim=1)
        np.testing.assert_allclose(ratio.numpy(), 0.4, rtol=1e-4)
    leaf = params.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problems[0].value(leaf).sum(), leaf)
    torch.testing.assert_close(gradient, evaluation.gradient)


def test_a_share_is_set_by_the_penaltys_name() -> None:
    settings = with_assignments(Settings(), ["tv.share=0.2"])
    assert Share(TotalVariation(1), 0.2) in settings.regularizers
    settings = with_assignments(settings, ["tv.share=0.3", "tv.beta=1.5"])
    assert [one for one in settings.regularizers if isinstance(one, Share)] == [Share(TotalVariation(1, beta=1.5), 0.3)]
    [share] = [one for one in with_assignments(preset("simonyan2014").settings, ["l2.share=0.5"]).regularizers if isinstance(one, Share)]
    assert isinstance(share.term, L2)


def test_nothing_is_blamed_that_does_little(net: Network) -> None:
    problem = Problem(net, "conv2:5", ["l2(1e-9)", "gaussian_blur(0.1)"], 40)
    assert outweighing(problem, 0) is None
    assert shrinking(problem, 0) is None
