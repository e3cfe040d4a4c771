"""``dreamopt models``: the list, one model's facts, and both as JSON."""

import json

import pytest
from click.testing import CliRunner, Result

from dreamopt.cli import cli
from dreamopt.models import cache_folder, load_catalogue


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["models", *words])


def test_the_list_has_every_model_and_says_what_is_unknown(tmp_path) -> None:
    shown = call("--cache", str(tmp_path)).stdout
    for name in load_catalogue():
        assert name in shown
    assert "unknown" in shown
    assert "104,117,123" in shown
    assert "*" not in shown.split("* fetched")[0]


def test_a_fetched_model_is_marked(tmp_path) -> None:
    folder = tmp_path / "models" / "salnet"
    folder.mkdir(parents=True)
    for name in ("deep_net_deploy.prototxt", "deep_net_model.caffemodel"):
        (folder / name).touch()
    listing = {model["name"]: model for model in json.loads(call("--cache", str(tmp_path), "--json").stdout)}
    assert set(listing["salnet"]["cached"]) == {"prototxt", "weights"}
    assert listing["bvlc_alexnet"]["cached"] == {}
    assert any("salnet" in line and "*" in line for line in call("--cache", str(tmp_path)).stdout.splitlines())


def test_one_model_s_facts() -> None:
    shown = call("show", "bvlc_googlenet").stdout
    for fact in (
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        "405fc5acd08a3bb12de8ee5e23a96bec22f08204",
        "unrestricted",
    ):
        assert fact in shown
    assert json.loads(call("show", "vgg_cnn_s", "--json").stdout)["mean"] is None


def test_an_unknown_model_is_exit_code_1() -> None:
    result = call("show", "googlnet")
    assert result.exit_code == 1
    assert "did you mean" in result.stderr


@pytest.mark.parametrize(
    ("env", "folder"),
    [({"DREAMOPT_CACHE": "/a"}, "/a"), ({"XDG_CACHE_HOME": "/b"}, "/b/dreamopt"), ({"HOME": "/c"}, "/c/.cache/dreamopt")],
)
def test_where_the_cache_is(env, folder, monkeypatch) -> None:
    for name in ("DREAMOPT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == folder
