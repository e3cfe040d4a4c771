"""Old programs give real Caffe's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.old_programs import PROGRAMS, files, run
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Oracle, relative_error

# The toolbox's fork of Caffe has this call; here it is made of what Caffe 1.0 has.
CAFFE = """
import runpy, sys
def backward_from_layer(net, name, diffs, zero_higher=True):
    net.blobs[name].diff[...] = diffs
    return net.backward(start=name)
caffe.Net.backward_from_layer = backward_from_layer
sys.modules["__main__"].__dict__.pop("found", None)
argv, sys.argv = sys.argv, ["program.py", "out.npz"]
runpy.run_path("program.py", run_name="__main__")
sys.argv = argv
del caffe.Net.backward_from_layer
with np.load("out.npz") as found:
    result.update(found)
"""


@pytest.mark.parametrize("program", [pytest.param(p, id=p.stem) for p in PROGRAMS])
def test_a_program_gives_the_same_in_both(program: Path, oracle: Oracle, tmp_path: Path) -> None:
    theirs = oracle.script(CAFFE, {**files(), "program.py": program.read_bytes()})
    ours = run(program, tmp_path)
    assert sorted(ours) == sorted(theirs)
    for name, expected in theirs.items():
        if expected.dtype.kind == "f":
            error = relative_error(ours[name], expected)
            assert note(f"old program {program.stem}", error) <= TOLERANCE, f"{name} is off by {error:.1e}"
        else:
            np.testing.assert_array_equal(ours[name], expected, err_msg=name)
