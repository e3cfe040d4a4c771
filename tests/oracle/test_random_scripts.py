"""Scripts for pycaffe that do things in an order that is drawn give the same in real Caffe and in `dreamopt.caffe`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.test_pycaffe_semantics import run_ours, same
from tests.support.oracle.harness import Oracle
from tests.support.oracle.random_scripts import NET, script


@pytest.mark.parametrize("seed", [1, 11, 19, 79, 146, 177])
def test_a_drawn_script_gives_the_same_in_both(seed: int, oracle: Oracle, tmp_path: Path) -> None:
    code = f"NET = {NET!r}\n{script(seed)}"
    same(run_ours(code, tmp_path), oracle.script(code))
