"""dreamopt's own settings: no publication, what ``dreamopt render`` does without a preset."""

from dreamopt.recipes import Settings
from dreamopt.recipes.preset import preset, resolve_settings


def test_default() -> None:
    assert preset("default").settings == Settings() == resolve_settings(None, {})
