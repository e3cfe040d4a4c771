"""Random nets against real Caffe. ``DREAMOPT_RANDOM_NETS=500`` runs more, from the seed ``DREAMOPT_RANDOM_NETS_FROM`` on.

A net that fails is shrunk; both are saved (`tests.support.oracle.shrink.save`), and the small one is printed with its seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dreamopt.engine.layers.tanh import TanH
from dreamopt.errors import DreamoptError
from tests.support.oracle import random_compare
from tests.support.oracle.harness import Oracle, OracleError
from tests.support.oracle.random_compare import Case, UndecidedError, compare_case, compare_ranges
from tests.support.oracle.random_layers import make_wide_case
from tests.support.oracle.random_nets import make_case
from tests.support.oracle.shrink import save, shrink

COUNT = int(os.environ.get("DREAMOPT_RANDOM_NETS", "60"))
FIRST = int(os.environ.get("DREAMOPT_RANDOM_NETS_FROM", "0"))
OTHERS = 1_000_000
"""How far away the seed of the net is that stands in for one that float32 does not decide."""

Compare = Callable[[Oracle, Case, int], None]


def check(oracle: Oracle, compare: Compare, make: Callable[[int], Case], seed: int) -> None:
    """Compare the net of a seed, or of another where nothing can be compared; tell what fails, and shrunk."""
    for _ in range(4):
        case = make(seed)
        try:
            return compare(oracle, case, seed)
        except UndecidedError:
            seed += OTHERS
        except Exception as error:
            small = shrink(case, lambda one: fails(oracle, compare, one, seed))  # noqa: B023 - called at once
            paths = save(case, f"{compare.__name__}_{seed}"), save(small, f"{compare.__name__}_{seed}_small")
            error.add_note(f"{compare.__name__}, the net of seed {seed}: saved as {paths[0]}, and shrunk as {paths[1]}:\n{small.text}")
            raise
    raise AssertionError(f"float32 decides none of the nets up to seed {seed}")


def fails(oracle: Oracle, compare: Compare, case: Case, seed: int) -> bool:
    """Whether the comparison finds a difference; a net that one of both refuses has none."""
    try:
        compare(oracle, case, seed)
    except AssertionError:
        return True
    except (DreamoptError, OracleError, UndecidedError, KeyError):
        return False
    return False


def make_any_case(seed: int) -> Case:
    """Draw a net of the common types for every third seed, else of all types."""
    return make_case(seed) if seed % 3 == 0 else make_wide_case(seed)


def make_forced_case(seed: int) -> Case:
    """Draw a net in which Caffe starts the backward pass at any layer."""
    return make_case(seed) if seed % 3 == 0 else make_wide_case(2 * seed)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_random_nets(oracle: Oracle, seed: int) -> None:
    check(oracle, compare_case, make_any_case, seed)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_ranges_of_random_nets(oracle: Oracle, seed: int) -> None:
    check(oracle, compare_ranges, make_forced_case, seed)


def test_a_failing_net_is_shrunk_and_saved(oracle: Oracle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DREAMOPT_FAILED_NETS", str(tmp_path))
    monkeypatch.setattr(random_compare, "note", lambda what, error: error)  # it is no error of ours
    monkeypatch.setattr(TanH, "apply", lambda self, x, weights: torch.tanh(x) * 1.01)
    fitting = [s for s in range(1, 99) if make_case(s).text.count("TanH") == 1 and make_case(s).end is None]
    seed = min(fitting, key=lambda s: abs(make_case(s).text.count("layer {") - 6))  # small enough to be quickly shrunk
    with pytest.raises(AssertionError, match="is off by") as raised:
        check(oracle, compare_case, make_case, seed)
    (note,) = raised.value.__notes__
    assert f"the net of seed {seed}: saved as {tmp_path}" in note
    small = (tmp_path / f"random_net_compare_case_{seed}_small.prototxt").read_text()
    assert small.split("\n", 1)[1].strip() in note
    assert small.count("layer {") == 2
    assert 'type: "TanH"' in small
    whole = (tmp_path / f"random_net_compare_case_{seed}.prototxt").read_text()
    assert make_case(seed).text in whole
