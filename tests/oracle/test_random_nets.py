"""Random nets against real Caffe. ``DREAMOPT_RANDOM_NETS=500`` runs more, from the seed ``DREAMOPT_RANDOM_NETS_FROM`` on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.oracle.harness import Oracle
from tests.oracle.random_nets import compare_case, compare_ranges, make_case, save

COUNT = int(os.environ.get("DREAMOPT_RANDOM_NETS", "60"))
FIRST = int(os.environ.get("DREAMOPT_RANDOM_NETS_FROM", "0"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_random_nets(oracle: Oracle, seed: int) -> None:
    case = make_case(seed)
    try:
        compare_case(oracle, case, seed)
    except Exception as error:
        path = save(case, seed, Path(tempfile.gettempdir()))
        error.add_note(f"the net of seed {seed} (end: {case.end}) was saved as {path}")
        raise


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_ranges_of_random_nets(oracle: Oracle, seed: int) -> None:
    try:
        compare_ranges(oracle, seed)
    except Exception as error:
        error.add_note(f"the net of seed {seed} was saved as {save(make_case(seed), seed, Path(tempfile.gettempdir()))}")
        raise
