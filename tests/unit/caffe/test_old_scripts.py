"""Scripts of 2015 in the runner: what it does itself, and what it says to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamopt.caffe.legacy.scope import PACKAGE
from dreamopt.caffe.script import execute
from dreamopt.errors import UsageError
from tests.support.old_programs import run_script


def run(folder: Path, script: str | bytes, **others: str) -> subprocess.CompletedProcess[str]:
    for name, text in others.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "script.py").write_bytes(script.encode() if isinstance(script, str) else script)
    return run_script("script.py", folder=folder)


RELATIVE = """
import multiprocessing
import plain
from . import io, draw, helper, plain as same
from .helper import value
from .io import name as other
import io as real
import helper as again
import caffe

def twice(x):
    return 2 * x

if __name__ == "__main__":
    print(io.name, draw.name, helper.value, value, other, real.BytesIO.__name__, again is helper, same is plain, caffe.io.__name__)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(twice, [3]), pool.map(helper.thrice, [4]))
"""


def test_relative_imports_are_files_beside_the_script(tmp_path: Path) -> None:
    """2to3 makes `from . import io` of `import io` where a file of that name lies beside the script."""
    process = run(
        tmp_path,
        RELATIVE,
        io="name = 'own io'\n",
        draw="name = 'own draw'\n",
        helper="from . import deeper\nimport deeper as same\nassert deeper is same\nvalue = deeper.value\n\ndef thrice(x):\n    return 3 * x\n",
        deeper="value = 7\n",
        plain="",
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == "own io own draw 7 7 own io BytesIO True True dreamopt.caffe.io\n[6] [12]\n"


def here(folder: Path, script: str) -> dict[str, Any]:
    """Run a script in this process."""
    (folder / "script.py").write_text(script)
    scope: dict[str, Any] = {}
    execute(str(folder / "script.py"), scope)
    return scope


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


@pytest.mark.parametrize("line", ["from . import draw", "from .net import Net", "from .. import caffe"])
def test_a_relative_import_of_what_is_not_there_is_not_dreamopts(tmp_path: Path, line: str) -> None:
    with pytest.raises(ImportError):
        here(tmp_path, line + "\n")


def test_tabs_among_spaces_count_to_the_next_eight(tmp_path: Path) -> None:
    scope = here(tmp_path, "seen = []\nfor i in range(2):\n        a = i\n\tb = a + 1\n        if b:\n\t    seen.append(('x\ty', b))\n")
    assert scope["seen"] == [("x\ty", 1), ("x\ty", 2)]


@pytest.mark.parametrize("line", ["print 'x'", "print `1`", "raise ValueError, 'x'", "exec 'a = 1'", "x = 0777", "1 <> 2"])
def test_the_error_of_a_script_for_python_2_says_the_commands(tmp_path: Path, line: str) -> None:
    with pytest.raises(SyntaxError) as caught:
        here(tmp_path, f"import os\n{line}\n")
    path = tmp_path / "script.py"
    assert f"(if this script is for Python 2, translate it first: expand -t 8 {path} > script3.py && 2to3 -w -n -x import" in str(
        caught.value
    )
    assert caught.value.lineno == 2


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("1 > None", "write `x is None` or `x is not None`"),
        ("max(None, 2)", "write `x is None`"),
        ("with open(PATH, 'w') as f:\n    f.write(b'x')", "opened with 'wb'"),
        ("with open(PATH, 'wb') as f:\n    f.write('x')", "opened with 'rb' or 'wb' holds bytes"),
        ("range(4 / 2)", "write `a // b`"),
        ("[1, 2][:4 / 2]", "write `a // b`"),
        ("np.zeros(3)[4 / 2]", "write `a // b`"),
        ("{}.iteritems()", "2to3 -w -n -x import SCRIPT"),
        ("raise TypeError('only 0-dimensional arrays can be converted to Python scalars')", "write `int(a.item())`"),
    ],
)
def test_errors_that_old_scripts_meet_have_a_note(tmp_path: Path, line: str, advice: str) -> None:
    with pytest.raises((TypeError, IndexError, AttributeError)) as caught:
        here(tmp_path, f"import numpy as np\nPATH = {str(tmp_path / 'out')!r}\n{line}\n")
    [note] = caught.value.__notes__
    assert note.startswith("in a script for Python 2: ")
    assert advice in note


def test_other_errors_have_none(tmp_path: Path) -> None:
    with pytest.raises(TypeError) as caught:
        here(tmp_path, "len(3)")
    assert not hasattr(caught.value, "__notes__")


LIBRARIES = r"""
import cPickle, urllib, urllib2, itertools, sys, time, collections, pickle
from itertools import izip
assert list(xrange(3)) == [0, 1, 2] and unicode(3) == "3" and isinstance("x", basestring) and long(4) == 4 and unichr(65) == "A"
assert reduce(lambda a, b: a * b, [2, 3, 7]) == 42 and cmp(2, 5) == -1 and sys.maxint == sys.maxsize
assert list(izip("ab", [1, 2])) == [("a", 1), ("b", 2)] and urllib.quote("a b") == "a%20b" and urllib2.URLError
assert time.clock() <= time.clock() and issubclass(dict, collections.Mapping)
assert cPickle.loads(b"U\x01\xe9.") == "\xe9"
open("more.py", "w").write("made = 5")
execfile("more.py")
assert made == 5
import numpy as np
from skimage import filters, restoration, transform
import skimage.filters
image = np.random.RandomState(0).uniform(0, 1, (12, 9, 3))
channel = lambda f: np.stack([f(image[..., c]) for c in range(3)], -1)
assert transform.rescale(image, 0.5).shape == (6, 4, 3)
assert transform.pyramid_reduce(image).shape == (6, 5, 3)
assert [p.shape[2] for p in transform.pyramid_gaussian(image, 2)] == [3, 3, 3]
assert np.allclose(filters.gaussian(image, 1.5), channel(lambda x: filters.gaussian(x, 1.5)))
assert np.allclose(skimage.filters.gaussian_filter(image, 1.5, multichannel=True), filters.gaussian(image, 1.5))
assert np.allclose(restoration.denoise_tv_bregman(image, 5.0), restoration.denoise_tv_bregman(image, 5.0, channel_axis=-1))
assert restoration.denoise_bilateral(image).shape == image.shape
# As a volume, where the caller says so, and where the last axis is no colour.
assert transform.rescale(image, 2, channel_axis=None).shape == (24, 18, 6)
assert transform.rescale(np.zeros((4, 5, 6)), 2).shape == (8, 10, 12)
print("done")
"""


def test_names_of_python_2_and_colour_images_in_scikit_image(tmp_path: Path) -> None:
    process = run(tmp_path, LIBRARIES)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"


def test_a_pipe_is_no_script(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(UsageError, match=r"the script '.*pipe\.py' cannot be read: it is a named pipe"):
        execute(str(tmp_path / "pipe.py"), {})
