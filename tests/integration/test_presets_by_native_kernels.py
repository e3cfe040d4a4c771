"""Under every preset, the native kernels and torch's operators reach the same value: rounding alone differs, and few steps don't amplify it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamopt.recipes.preset import presets
from tests.support.native import needs_kernels
from tests.support.preset_values import of_a_process, prepare, values

STEPS = 3


@needs_kernels
def test_values_agree_within_a_hundredth(tmp_path: Path) -> None:
    prepare(tmp_path)
    without = of_a_process(tmp_path, STEPS, DREAMOPT_NATIVE="0")
    assert not without["native"]
    assert list(without["values"]) == [preset.name for preset in presets()]
    assert values(tmp_path, STEPS) == pytest.approx(without["values"], rel=0.01)
