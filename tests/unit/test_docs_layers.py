"""The tables of layer types have one row for each type that is there, with what its own class says."""

from __future__ import annotations

import re
from pathlib import Path

from dreamopt.engine.refused import REFUSED
from dreamopt.testing.layers import built_in_layers
from tools.layer_tables import layer_table
from tools.make_docs import ROOT

CAFFE, FORKS = (layer_table(of_forks, ROOT / "docs").splitlines() for of_forks in (False, True))


def types(rows: list[str]) -> list[str]:
    return [found[1] for row in rows if (found := re.match(r"\| \[(\w+)\]\(\.\./dreamopt/engine/layers/\w+\.py\) \|", row))]


def test_every_type_has_one_row() -> None:
    named = [*types(CAFFE), *types(FORKS)]
    assert sorted(named) == sorted(part.__name__ for part in built_in_layers())
    assert len(named) == len(CAFFE) + len(FORKS) - 4
    assert not set(REFUSED) & set(named)


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((\.\./\S+\.py)\)", "\n".join([*CAFFE, *FORKS]))
    assert len(links) == len(types(CAFFE)) + len(types(FORKS))
    assert all((Path(ROOT / "docs") / link).resolve().is_file() for link in links)


def test_a_row_says_what_its_own_class_says() -> None:
    eltwise = next(row for row in CAFFE if row.startswith("| [Eltwise]"))
    assert eltwise.endswith(", place by place | `stable_prod_grad: false` gives the stable gradient |")
    # `DepthwiseConvolution` inherits from Convolution, but not what that says of Caffe.
    row = next(row for row in FORKS if row.startswith("| [DepthwiseConvolution]"))
    assert row.split(" | ")[1] == "MobileNet"
    assert row.endswith(" | all else as Convolution |")
    assert r"| ``y = \|x\|``; the derivative at 0 is 0 |  |" in next(row for row in CAFFE if row.startswith("| [AbsVal]"))
