"""A backward rule drives renders, dreams and studies: in Problem, Python, on the command line, in presets; replayed and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from skimage import data

import dreamopt
from dreamopt.cli import cli
from dreamopt.engine.rule_list import RuleList, parse_rules
from dreamopt.errors import TrustError, UsageError
from dreamopt.image.files import read_image, read_metadata
from dreamopt.network import Network
from dreamopt.optimize import Progress
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Problem
from dreamopt.recipes import Settings
from dreamopt.recipes.plan import Plan, plan_render
from dreamopt.recipes.preset import preset, resolve_settings
from dreamopt.recipes.store import FolderStore

QUICK = {"size": 40, "steps": 6, "jitter": 2}
RULE = "ReLU: guided, conv2: z_plus"


@pytest.fixture(scope="module")
def network() -> Network:
    return dreamopt.load_net(device="cpu")


def ruled(network: Network, x: torch.Tensor, layer: str, channel: int, rule: str | None) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    value = network.activations(leaf, [layer], rule=rule)[layer][:, channel].flatten(1).mean(1).sum()
    return torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize("rule", ["guided", "deconvnet", RULE])
def test_the_gradient_of_a_problem_is_the_rules(network: Network, rule: str) -> None:
    problem = Problem(network, "mixed4:5", ["l2(1e-7)"], 40, batch=2, rule=rule)
    plain = Problem(network, "mixed4:5", ["l2(1e-7)"], 40, batch=2)
    x = problem.start(3)
    found, other = problem.evaluate(x), plain.evaluate(x)
    assert found.image_gradient is not None
    torch.testing.assert_close(found.image_gradient, ruled(network, x, "mixed4", 5, rule))
    torch.testing.assert_close(found.gradient - found.image_gradient, other.gradient - other.image_gradient, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.values, other.values)
    assert float((found.gradient - other.gradient).norm()) > 0.1 * float(other.gradient.norm())
    flat = x.reshape(-1).numpy().astype(np.float64)
    np.testing.assert_allclose(problem(flat)[1], -found.gradient.reshape(-1).numpy(), rtol=1e-5, atol=1e-8)
    assert problem.describe()["rule"] == str(parse_rules(rule))
    assert "rule" not in plain.describe()
    torch.testing.assert_close(problem.select([1]).evaluate(x[1:]).gradient, found.gradient[1:])
    weights = problem.weight_gradients(x)["conv1"][0], plain.weight_gradients(x)["conv1"][0]
    assert torch.equal(*weights), "weights have the derivative"


def test_redirected_counts_where_no_rule_applies(network: Network) -> None:
    x = torch.full((1, *network.item_shape(40)), -40.0)
    first = StepContext(step=0)
    both = Problem(network, "mixed4:5", (), 40, rule="conv1/relu: guided", redirected=3)
    found = both.evaluate(x, first)
    assert found.redirected is not None
    names = [info.name for info in network.layers if info.type == "ReLU"]
    alone = Problem(network, "mixed4:5", (), 40, redirected=3).evaluate(x, first)
    assert set(found.redirected_at) == set(alone.redirected_at) - {"conv1/relu"}
    rule = RuleList((("conv1/relu", parse_rules("guided")), ("*", parse_rules("redirected"))))
    leaf = x.clone().requires_grad_()
    value = network.activations(leaf, ["mixed4"], rule=rule)["mixed4"][:, 5].mean()
    torch.testing.assert_close(found.gradient, torch.autograd.grad(value, leaf)[0])
    guided = Problem(network, "mixed4:5", (), 40, rule="guided", redirected=3).evaluate(x, first)
    assert not set(guided.redirected_at), "the rule takes every ReLU"
    assert names


def test_a_pattern_that_names_no_layer_is_refused_before_any_work(network: Network) -> None:
    for make in (lambda rule: Problem(network, "conv2:3", rule=rule), lambda rule: plan_render(network, "conv2:3", Settings(rule=rule))):
        with pytest.raises(UsageError, match=r"'cov\*: Guided\(\)' names no layer"):
            make("cov*: guided")
    with pytest.raises(UsageError, match=r"no rule is called 'guide' \(did you mean guided\?\)"):
        Settings(rule="guide")  # type: ignore[arg-type]


def test_settings_say_it(network: Network) -> None:
    settings = Settings(rule=RULE)  # type: ignore[arg-type]
    assert settings.describe()["rule"] == "ReLU: Guided(), conv2: ZPlus()"
    assert Settings.read(settings.describe()) == settings
    assert "rule" not in Settings().describe(), "plans made before have the keys that they had"
    assert Settings(rule="none") == Settings()  # type: ignore[arg-type]
    assert settings.with_changes({"rule": "none"}) == Settings()
    plan = plan_render(network, "conv2:3", settings)
    assert plan.key != plan_render(network, "conv2:3", Settings()).key
    assert Plan.read(plan.describe(0)).settings.rule == settings.rule


def test_presets_and_assignments(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'title = "Mine"\n[settings]\nsteps = 4\nrule = "{RULE}"\n', encoding="utf-8")
    assert preset(str(path)).settings.rule == parse_rules(RULE)
    assert resolve_settings(str(path), {}, ["rule=ReLU: deconvnet"]).rule == parse_rules("ReLU: deconvnet")
    assert resolve_settings(str(path), {"rule": "none"}, []).rule is None


@pytest.mark.parametrize("rule", ["guided", RULE])
def test_a_render_differs_replays_and_resumes(network: Network, tmp_path: Path, rule: str) -> None:
    targets = ["conv2:3", "mixed4:5"]
    plain = dreamopt.render(network, targets, **QUICK)
    whole = dreamopt.render(network, targets, rule=rule, **QUICK)
    for one, other in zip(whole, plain, strict=True):
        assert np.abs(one.image.astype(int) - other.image).mean() > 2
        assert one.metadata["settings"]["rule"] == str(parse_rules(rule))

    made = 0

    def crash(progress: Progress) -> None:
        nonlocal made
        made += 1
        if made == 4:
            raise KeyError("crash")

    with pytest.raises(KeyError, match="crash"):
        dreamopt.render(network, targets, rule=rule, callbacks=[crash], store=FolderStore(tmp_path / "a.png", every=1), **QUICK)
    with pytest.raises(UsageError, match="keeps a rendering with other settings"):
        dreamopt.render(network, targets, store=FolderStore(tmp_path / "a.png", resume=True), **QUICK)
    again = dreamopt.render(network, targets, rule=rule, store=FolderStore(tmp_path / "a.png", every=1, resume=True), **QUICK)
    for one, other in zip(again, whole, strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.metadata == other.metadata


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["render", "-t", "mixed4:5", "--size", "40", "--steps", "4", "--rule", RULE, "-o", "a.png", "-q"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    metadata = read_metadata(tmp_path / "a.png")
    assert metadata["settings"]["rule"] == "ReLU: Guided(), conv2: ZPlus()"
    assert "--rule 'ReLU: Guided(), conv2: ZPlus()'" in metadata["command"]
    replayed = CliRunner().invoke(cli, ["replay", "a.png"])
    assert replayed.exit_code == 0, replayed.output
    assert "the same pixels" in replayed.output
    assert np.array_equal(read_image("a.png"), read_image("a-replay.png"))
    metadata["settings"]["rule"] = "Stranger()"
    with pytest.raises((UsageError, TrustError), match="Stranger"):
        Plan.read(metadata)


def test_a_dream(network: Network) -> None:
    image = data.chelsea()[40:140, 100:210]
    options = {"octaves": 2, "steps": 2}
    plain, guided = (dreamopt.dream(network, image, "mixed4", rule=rule, **options) for rule in (None, "guided"))
    assert np.abs(plain.image.astype(int) - guided.image).mean() > 0.5
    assert guided.metadata["settings"]["rule"] == "Guided()"


def test_contestants_of_a_study() -> None:
    from dreamopt.study.words.values import read_varied

    varied = read_varied("rule=guided,none", "--vary")
    assert "guided" in str(varied)
