"""Settings as preset files: read back they are the same settings."""

from __future__ import annotations

import tomllib

import pytest

from dreamopt.recipes.preset import preset, presets, read_preset
from dreamopt.recipes.settings import Settings
from dreamopt.study.report.presets import preset_text
from tests.support.studies import SETTINGS

ABOUT = {"title": "t", "source": "s", "example": "conv4:7", "notes": ""}
CASES = {known.name: known.name for known in presets() if known.fields.get("init") is None}


@pytest.mark.parametrize("name", CASES)
def test_every_preset_comes_back(name: str) -> None:
    settings = preset(name).settings
    again = read_preset("again", preset_text(settings, **ABOUT)).settings
    assert again == settings
    assert again.describe() == settings.describe()


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_contestants_come_back(name: str) -> None:
    assert read_preset("again", preset_text(SETTINGS[name], **ABOUT)).settings == SETTINGS[name]


def test_the_order_of_parts_stays() -> None:
    settings = Settings(
        regularizers=("gaussian_blur(1)", "total_variation(0.5)"), tv=0.25, size=(32, 48), seed=7, channels="2,1,0", depth=16
    )
    again = read_preset("again", preset_text(settings, **ABOUT)).settings
    assert [str(part) for part in again.regularizers] == [str(part) for part in settings.regularizers]
    assert again == settings


def test_texts_are_escaped() -> None:
    hostile = 'a "quoted" \\ text\nwith \x7f and \x1b and \ud800 """ and ☃'
    table = tomllib.loads(preset_text(Settings(), title=hostile, source="s", example="e", notes="n"))
    assert table["title"] == hostile.replace("\ud800", "?")


def test_files_are_left_out_and_named() -> None:
    text = preset_text(Settings(init="cat.png", strength="map.png"), **ABOUT)
    read = read_preset("again", text)
    assert read.settings.init is None
    assert read.settings.strength == 1
    assert read.notes == "A preset names no file: give --init cat.png, --strength map.png as well."
