"""What is no regular file, in the place of every file that can be named: a sentence, at once, and without filling the memory."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dreamopt.data import PROTOTXT
from tests.support.warm import Warm

if not hasattr(os, "mkfifo"):
    pytest.skip("there are no named pipes here", allow_module_level=True)

RENDER = ["render", "-t", "mixed4:3", "--steps", "1", "--size", "32", "--device", "cpu", "-q", "-o", "out.png"]
# How the command line names each file, and what the code of a Python user calls.
OPTIONS = {
    "inspect": ["inspect", "FILE.prototxt"],
    "net": [*RENDER, "--net", "FILE.prototxt"],
    "weights": ["inspect", "net.prototxt", "--weights", "FILE.caffemodel"],
    "HDF5 weights": ["inspect", "net.prototxt", "--weights", "FILE.caffemodel.h5"],
    "mean": ["inspect", "--mean", "FILE.npy"],
    "mean image": ["inspect", "--mean", "FILE.binaryproto"],
    "labels": ["inspect", "--labels", "FILE.txt"],
    "fed": ["inspect", "two.prototxt", "--feed", "more=FILE.npy"],
    "init": [*RENDER, "--init", "FILE.png"],
    "replay": ["replay", "FILE.png"],
    "replay's net": ["replay", "made.png", "--net", "FILE.prototxt"],
    "replay's file": ["replay", "pointed.png", "--net", "net.prototxt", "--file", "FILE.npy"],
    "guide": ["render", "-t", 'guide("mixed4", "FILE.png")', *RENDER[3:]],
    "vector": ["render", "-t", 'direction("mixed4", "FILE.npy")', *RENDER[3:]],
    "stencil": [*RENDER, "-r", 'stencil("FILE.png")'],
    "start": [*RENDER, "--parametrization", 'fourier(init="FILE.jpg")'],
    "strengths": [*RENDER, "--parametrization", 'maco("FILE.npy")'],
    "code": [*RENDER, "--parametrization", 'generator("net.prototxt", init="FILE.npy")'],
    "generator": [*RENDER, "--parametrization", 'generator("FILE.prototxt")'],
    "generator's bounds": [*RENDER, "--parametrization", 'generator("net.prototxt", upper="FILE.txt")'],
}
CALLS = {
    "caffe.Net": "import dreamopt.caffe as c; c.Net(FILE, c.TEST)",
    "caffe.Net weights": "import dreamopt.caffe as c; c.Net('net.prototxt', FILE, c.TEST)",
    "copy_from": "import dreamopt.caffe as c; c.Net('net.prototxt', c.TEST).copy_from(FILE)",
    "load_hdf5": "import dreamopt.caffe as c; c.Net('net.prototxt', c.TEST).load_hdf5(FILE)",
    "caffe.io.load_image": "import dreamopt.caffe as c; c.io.load_image(FILE)",
    "load_net": "import dreamopt; dreamopt.load_net(FILE)",
    "catalogue": "from dreamopt.models import load_catalogue; load_catalogue(FILE)",
    "checkpoint": "from pathlib import Path; from dreamopt.optimize import Checkpoint; Checkpoint(Path(FILE)).load()",
    "script": "from dreamopt.caffe.script import run_script; run_script(FILE, [])",
}
TWO = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 7 } } }
layer { name: "more" type: "Input" top: "more" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 7 } } }
layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "more" top: "sum" }
"""
DRIVER = """
import contextlib, io, json, os, resource, signal, sys
from dreamopt.cli import cli
from dreamopt.errors import DreamoptError
import dreamopt.caffe
kind, path, options, calls, limit = json.loads(sys.argv[1])
def late(*_):
    raise TimeoutError("it hangs")
signal.signal(signal.SIGALRM, late)
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() if os.path.exists("/proc/self/statm") else 0
if now:
    resource.setrlimit(resource.RLIMIT_AS, (now + limit, -1))
said = {}
for name, work in {**options, **calls}.items():
    out = io.StringIO()
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
            if isinstance(work, list):
                cli.main([word.replace("FILE", path) for word in work], standalone_mode=True)
            else:
                exec(work.replace("FILE", repr(path)), {})
        said[name] = [0, out.getvalue()]
    except SystemExit as end:
        said[name] = [end.code, out.getvalue()]
    except DreamoptError as error:
        said[name] = [1, str(error)]
    except BaseException as error:
        said[name] = [-1, f"{type(error).__name__}: {error}"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
print("RESULT" + json.dumps(said))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dreamopt.cli import cli

    folder = tmp_path_factory.mktemp("special")
    shutil.copy(PROTOTXT, folder / "net.prototxt")
    (folder / "two.prototxt").write_text(TWO)
    made = [*RENDER[:-1], str(folder / "made.png"), "--net", str(folder / "net.prototxt")]
    cli.main(made, standalone_mode=False)
    (folder / "deeper").mkdir()
    np.save(folder / "deeper" / "vector.npy", np.arange(1.0, 209.0))
    target = f'direction("mixed4", "{folder}/deeper/vector.npy")'
    cli.main(["render", "-t", target, *RENDER[3:-1], str(folder / "pointed.png"), *made[-2:]], standalone_mode=False)
    shutil.rmtree(folder / "deeper")
    for ending in ("", ".prototxt", ".caffemodel", ".caffemodel.h5", ".npy", ".binaryproto", ".txt", ".png", ".jpg"):
        os.mkfifo(folder / f"pipe{ending}")
        (folder / f"device{ending}").symlink_to("/dev/zero")
        (folder / f"folder{ending}").mkdir()
    return folder


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(["google.protobuf.text_format", "PIL.Image", "rich.console", "torch"]) as process:
        yield process


@pytest.mark.parametrize(("kind", "reason"), [("pipe", "it is a named pipe"), ("device", "it is a device"), ("folder", "it is a folder")])
def test_every_reader_refuses_what_is_no_regular_file(folder: Path, warm: Warm, kind: str, reason: str) -> None:
    (folder / "driver.py").write_text(DRIVER)
    done = warm.run(["driver.py", json.dumps([kind, kind, OPTIONS, CALLS, 2**31])], folder)
    assert "RESULT" in done.stdout, done.stderr[-2000:]
    said = json.loads(done.stdout.rpartition("RESULT")[2])
    said["replay's file"][1] += reason  # it is compared by its hash, and passed over; the error is that no other was named
    wrong = {name: answer for name, answer in said.items() if answer[0] not in (1, 2) or reason not in answer[1]}
    assert not wrong, "\n".join(f"{name}: {answer}" for name, answer in wrong.items())
