"""Presets by name, what ``--set`` changes of them, and how the command line shows them."""

import dataclasses
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dreamopt.cli import cli
from dreamopt.errors import DreamoptError, TrustError, UsageError
from dreamopt.image import Flip, Fourier, Jitter, Pad, Pixels, Rotate
from dreamopt.optimize import Adam, Ascent, Momentum, Plain
from dreamopt.parts.schedule import Linear
from dreamopt.recipes import Settings
from dreamopt.recipes.preset import preset, presets, resolve_settings, with_assignments
from dreamopt.recipes.settings import StageSettings
from dreamopt.regularizers import Decay, GaussianBlur, TotalVariation

NAMES = [one.name for one in presets()]


def test_the_presets_are_the_files() -> None:
    assert sorted(entry.name.removesuffix(".toml") for entry in (resources.files("dreamopt.recipes") / "presets").iterdir()) == NAMES
    assert {"default", "deepdream2015", "yosinski2015-4"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_and_where_it_was_read(name: str) -> None:
    one = preset(name)
    assert all((one.title, one.source, one.example, one.notes))
    file = resources.files("dreamopt.recipes").joinpath("presets", f"{name}.toml")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    assert set(table) <= {"title", "source", "example", "notes", "size", "settings", "stages", "check"}
    # Described in full, the settings make themselves again.
    described = json.loads(json.dumps(one.settings.describe()))
    assert Settings.read(described).describe() == described


def test_each_has_a_file_with_its_published_loop_and_test() -> None:
    files = [path for path in (Path(__file__).parents[2] / "published").glob("*.py") if path.stem not in ("__init__", "conftest")]
    assert sorted(path.stem for path in files) == sorted(name.replace("-", "_") for name in NAMES)
    assert [path.name for path in files if "\ndef test_" not in path.read_text(encoding="utf-8")] == []


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no preset is called 'deepdream2016' \(did you mean deepdream2015\?\); there are .*default, "):
        preset("deepdream2016")


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("steps=64", "steps", 64),
        (" steps = 64", "steps", 64),
        ("tv=1e-4", "regularizers", (TotalVariation(1e-4), Decay(0.0005), GaussianBlur(Linear(0.8, 0.16), every=4))),
        ("blur=0", "regularizers", (Decay(0.0005),)),
        ("lr=3", "optimizer", Adam(3, beta1=0.5)),
        ("noise=7.5", "parametrization", Fourier(noise=7.5)),
        ("size=[48, 40]", "size", (48, 40)),
        ("size=(48, 40)", "size", (48, 40)),
        ("default_size=null", "default_size", None),
        ("init=a photo.jpg", "init", "a photo.jpg"),
        ("optimizer=momentum(2.0, 0.5)", "optimizer", Momentum(2.0, 0.5)),
        ('transforms=["flip()", "pad(3)"]', "transforms", (Jitter(8), Flip(), Pad(3))),
        ("transforms='flip()'", "transforms", (Jitter(8), Flip())),
        ('stages=[{"steps": 3}]', "stages", (StageSettings(3, Settings().optimizer, Settings().transforms, Settings().regularizers),)),
    ],
)
def test_fields(assignment: str, field: str, value: Any) -> None:
    assert getattr(with_assignments(Settings(), [assignment]), field) == value


def test_later_assignments_win() -> None:
    assert with_assignments(Settings(), ["steps=3", "steps=5"]).steps == 5


def test_options_are_changed_by_assignments() -> None:
    assert resolve_settings("deepdream2015", {"steps": 3, "octaves": 2}, ["steps=7"]) == resolve_settings(
        "deepdream2015", {}, ["octaves=2", "steps=7"]
    )


@pytest.mark.parametrize(("alias", "name"), [("tv", "total_variation"), ("blur", "gaussian_blur"), ("TotalVariation", "total_variation")])
def test_short_names(alias: str, name: str) -> None:
    parameter = "sigma=0.5" if name == "gaussian_blur" else "weight=0.1"
    assert with_assignments(Settings(), [f"{alias}.{parameter}"]) == with_assignments(Settings(), [f"{name}.{parameter}"])


def test_a_part_that_stands_there_is_changed_and_the_rest_kept() -> None:
    settings_then = with_assignments(preset("yosinski2015-3").settings, ["blur.sigma=Linear(2.0, 0.5)"])
    assert settings_then.regularizers == (Decay(0.0001), GaussianBlur(Linear(2.0, 0.5), every=4))
    assert (settings_then.optimizer, settings_then.steps, settings_then.parametrization) == (Plain(), 999, Pixels(noise=10))


def test_numbers_of_their_own_become_parts() -> None:
    """Blur, tv, jitter and the step size are fields; changed as parts, they must act once, not twice."""
    settings_then = with_assignments(
        Settings(tv=0.5, transforms=()), ["tv.beta=1.5", "blur.every=8", "jitter.pixels=3", "optimizer.step_size=7"]
    )
    assert settings_then.regularizers == (TotalVariation(0.5, beta=1.5), Decay(0.0005), GaussianBlur(Linear(0.8, 0.16), every=8))
    assert settings_then.transforms == (Jitter(3),)
    assert settings_then.optimizer == Adam(7, beta1=0.5)


def test_a_part_that_is_missing_is_added() -> None:
    settings = preset("deepdream2015").settings
    settings_then = with_assignments(settings, ["tv.weight=0.1", "rotate.degrees=[5]"])
    assert settings_then.regularizers == (TotalVariation(0.1), *settings.regularizers)
    assert settings_then.transforms == (Jitter(32), Rotate((5,)))


def test_a_field_replaces_what_stages_say_of_it() -> None:
    settings_then = with_assignments(preset("oygard2015").settings, ["steps=4"])
    assert [settings_then.stage(number).steps for number in range(4)] == [4, 4, 4, 4]
    assert settings_then.total_steps == 16
    assert settings_then.stage(2).optimizer == Ascent(Linear(6, 3), norm="window")


def test_a_part_is_changed_in_every_stage() -> None:
    settings_then = with_assignments(preset("oygard2015").settings, ["optimizer.step_size=2", "decay.rate=0.01"])
    for number in range(4):
        stage = settings_then.stage(number)
        assert stage.optimizer == Ascent(2, norm="window")
        assert stage.regularizers[0] == Decay(0.01)
        assert len(stage.regularizers) == 3


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("steps", "--set takes KEY=VALUE, for instance steps=100 or tv.share=0.2, not 'steps'"),
        ("=3", "--set takes KEY=VALUE"),
        ("step=3", r"there is no setting 'step' \(did you mean steps\?\)"),
        ("steps=many", "many"),
        ("steps=0", "steps must be a whole number of at least 1, not 0"),
        ("tv.wait=0.1", "has no parameter 'wait'; it has weight, beta"),
        ("adam.wait=0.1", "Adam has no parameter 'wait'; it has step_size"),
        ("nothing.weight=0.1", "there is no part 'nothing' to set weight of; there are adam, fourier, decay, gaussian_blur, jitter"),
        ("tv.weight=-1", "weight of TotalVariation must be at least 0, not -1"),
        ("optimizer=climb()", "climb"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(assignment: str, sentence: str) -> None:
    with pytest.raises(DreamoptError, match=sentence) as caught:
        with_assignments(Settings(), [assignment])
    assert "\n" not in str(caught.value)


def test_the_default_size_is_a_number_of_pixels() -> None:
    with pytest.raises(UsageError, match="default_size must be a whole number from 1 to 32768, not 0"):
        Settings(default_size=0)


def call(*words: str) -> Any:
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_titles_are_listed_without_reading_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a part was read")

    monkeypatch.setattr("dreamopt.parts.calls.make_part", refuse)
    monkeypatch.setattr(Settings, "__post_init__", refuse)
    assert "Lucid" in call("presets")


def test_the_command_line_lists_them() -> None:
    listed = call("presets")
    assert all(name in listed for name in NAMES)
    printed = json.loads(call("presets", "--json"))
    assert [one["name"] for one in printed] == NAMES
    assert printed[0] == {key: getattr(preset(NAMES[0]), key) for key in ("name", "title", "source", "example")}


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_shows_every_number(name: str) -> None:
    printed = json.loads(call("presets", "show", name))
    one = preset(name)
    assert (printed["notes"], printed["title"]) == (one.notes, one.title)
    assert printed["settings"] == json.loads(json.dumps(one.settings.describe()))


def test_showing_an_unknown_one_is_an_error_of_one_line() -> None:
    result = CliRunner().invoke(cli, ["presets", "show", "lucid2018"])
    assert result.exit_code != 0
    assert "did you mean lucid2017?" in result.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("init = '/etc/hostname'", "'/etc/hostname' comes from a file's words"),
        ("regularizers = ['stencil(\"/etc/hostname\")']", "'/etc/hostname' comes from a file's words"),
        ("parametrization = 'maco(pictures=\"/etc\")'", "'/etc' comes from a file's words"),
    ],
)
def test_a_preset_names_no_other_file(settings: str, said: str) -> None:
    changed = dataclasses.replace(preset("deepdream2015"), text=f"[settings]\n{settings}\n")
    with pytest.raises(TrustError, match=said):
        _ = changed.settings


def test_a_preset_file(tmp_path: Path) -> None:
    path = tmp_path / "winner.toml"
    path.write_text('[settings]\noptimizer = "ascent(3)"\nblur = 0.0\n[[stages]]\nsteps = 7\n', encoding="utf-8")
    settings = resolve_settings(str(path), {"views": 2}, ["optimizer.norm=std"])
    assert (str(settings.optimizer), settings.stages[0].steps, settings.views) == ('Ascent(step_size=3, norm="std")', 7, 2)
    named = preset(str(path))
    assert (named.name, named.title, named.size) == ("winner", "", None)


def test_a_preset_file_names_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "strange.toml"
    path.write_text('[settings]\ninit = "photo.jpg"\n', encoding="utf-8")
    with pytest.raises(TrustError, match=r"the path 'photo\.jpg' comes from a file's words"):
        resolve_settings(str(path), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[setings]\n", r"the preset '.*bad\.toml' has no field 'setings' \(did you mean settings\?\)"),
        ("[settings\n", r"the preset '.*bad\.toml' is damaged"),
        ("[settings]\noptimiser = 'adam'\n", r"there is no setting 'optimiser' .did you mean optimizer"),
    ],
)
def test_a_damaged_preset_file(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        resolve_settings(str(path), {})
    with pytest.raises(UsageError, match=r"the preset '.*none\.toml' cannot be read"):
        preset(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("words", [["render", "--target=scores:0"], ["dream", "{image}"], ["zoom", "{image}", "--seconds=0.1"]])
def test_commands_take_a_preset_file(words: list[str], tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 32), (90, 120, 60)).save(tmp_path / "image.png")
    (tmp_path / "mine.toml").write_text('[settings]\nsteps = 1\noptimizer = "ascent(0.75)"\n', encoding="utf-8")
    out = tmp_path / ("out.gif" if words[0] == "zoom" else "out.png")
    words = [word.replace("{image}", str(tmp_path / "image.png")) for word in words]
    result = CliRunner().invoke(cli, [*words, f"--preset={tmp_path / 'mine.toml'}", "--size=32", "--device=cpu", "-q", f"--out={out}"])
    assert result.exit_code == 0, result.output
    if words[0] == "render":
        from dreamopt.image.files import read_metadata

        assert "Ascent(step_size=0.75)" in json.dumps(read_metadata(out)["settings"]).replace("\\", "")
