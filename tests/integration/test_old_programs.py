"""Programs for pycaffe run by ``python -m dreamopt.caffe``; tests/oracle/test_old_programs.py compares their numbers with Caffe's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.old_programs import FOR_FORKS, PROGRAMS, files, run, run_script


# Those of docs/questions.md run in test_questions.py.
@pytest.mark.parametrize("program", [pytest.param(p, id=p.stem) for p in [*PROGRAMS, *FOR_FORKS] if not p.stem.startswith("question_")])
def test_a_program_runs(program: Path, tmp_path: Path) -> None:
    found = run(program, tmp_path)
    for name, array in found.items():
        if array.dtype.kind == "f":
            assert np.isfinite(array).all(), name
            assert array.std() > 0 or array.size == 1, name
    if program.stem == "surgery":
        np.testing.assert_allclose(found["score"].ravel(), found["full"], rtol=1e-4)
    if program.stem == "excitation":  # the probabilities stay 1 in sum, all the way down
        np.testing.assert_allclose([found[name].sum() for name in ("pro", "con", "attention", "everything")], 1, rtol=1e-4)


def test_every_import_means_dreamopt(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "beside.py").write_text("import caffe.io\nanswer = caffe.io.__name__\n")
    (inner / "script.py").write_text(
        "import sys, caffe, beside\n"
        "import caffe.draw, caffe.coord_map, caffe.net_spec, caffe.classifier, caffe.detector, caffe.pycaffe, caffe.proto.caffe_pb2\n"
        "from caffe import layers as L, params as P, NetSpec\n"
        "from caffe.proto import caffe_pb2\n"
        "from caffe.pycaffe import Net\n"
        "assert caffe.io.caffe_pb2.NetParameter is caffe_pb2.NetParameter\n"
        "assert caffe.draw is sys.modules['dreamopt.caffe.draw'] and Net is caffe.Net\n"
        "assert __name__ == '__main__' and __file__ == sys.argv[0]\n"
        "assert not any('dreamopt/caffe' in p for p in sys.path), sys.path\n"
        "print(caffe.__name__, beside.answer, *sys.argv[1:])\n"
    )
    done = run_script("inner/script.py", "--flag", "x", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["dreamopt.caffe", "dreamopt.caffe.io", "--flag", "x"]
    (tmp_path / "module.py").write_text("import caffe, sys\nprint(caffe.__name__, __name__, *sys.argv[1:])\n")
    assert run_script("-m", "module", "y", folder=tmp_path).stdout.split() == ["dreamopt.caffe", "__main__", "y"]


def test_processes_that_the_script_spawns(tmp_path: Path) -> None:
    for name, content in files().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "workers.py").write_text(
        "import multiprocessing as mp\n"
        "import numpy as np\n"
        "import caffe\n"
        "def work(job):\n"
        "    net = caffe.Net('tiny.prototxt', 1, weights='tiny.caffemodel')\n"
        "    net.blobs['data'].data[...] = job\n"
        "    return caffe.__name__, float(net.forward(end='scores')['scores'][0, 0])\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('spawn').Pool(1) as pool:\n"
        "        there = pool.map(work, [3.0])\n"
        "    print(there == [work(3.0)], there[0][0])\n"
    )
    done = run_script("workers.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "dreamopt.caffe"]


def test_python_layers_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        'input: "data" input_shape { dim: 2 dim: 3 }\n'
        'layer { name: "own" type: "Python" bottom: "data" top: "own" python_param { module: "own" layer: "Triple" } }'
    )
    (tmp_path / "own.py").write_text(
        "import caffe\n"
        "class Triple(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 3 * bottom[0].data\n"
    )
    (tmp_path / "script.py").write_text(
        "import caffe, numpy as np\nprint(caffe.Net('net.prototxt', caffe.TEST).forward(data=np.ones((2, 3)))['own'].sum())\n"
    )
    assert run_script("--allow-python-layers", "script.py", folder=tmp_path).stdout.split() == ["18.0"]
    refused = run_script("script.py", folder=tmp_path)
    assert refused.returncode == 1
    assert "allow_python_layers" in refused.stderr.splitlines()[-1]


def test_what_goes_wrong_is_said(tmp_path: Path) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_script(*arguments, folder=tmp_path)

    (tmp_path / "old.py").write_text("print 'hello'\n")
    old = call("old.py")
    assert old.returncode == 1
    assert "2to3 -w" in old.stderr
    assert "there is no such script" in call("none.py").stderr
    assert "no option --nonsense" in call("--nonsense").stderr
    assert "no script is named" in call().stderr
    assert "usage" in call("--help").stdout
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(7)\n")
    assert call("exits.py").returncode == 7
