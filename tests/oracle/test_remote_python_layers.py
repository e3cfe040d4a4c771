"""Python layers in a Caffe that does not see their files: what is sent, what is said, and that a killed worker gets it again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.remote import Remote
from dreamopt.errors import BackendError, NetError
from dreamopt.network import Network, load_net
from tests.oracle.conftest import caffe_root

pytestmark = pytest.mark.oracle

LAYERS = '''# -*- coding: latin-1 -*-
"""Caf\xe9."""
import caffe
from their_factor import factor
from their_package import inner


class Times(caffe.Layer):
    def setup(self, bottom, top):
        print("to nobody", input.__name__)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        if bottom[0].width == 13:
            raise ValueError("13 is too wide")
        top[0].data[...] = factor * inner.more() * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = factor * inner.more() * top[0].diff
'''
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 11 } } }
layer { name: "times" type: "Python" bottom: "data" top: "times" python_param { module: "their_top.layers" layer: "Times" } }
layer { name: "power" type: "Power" bottom: "times" top: "power" power_param { power: 2 } }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make modules that need each other in every way: a package, a neighbour, a package without __init__, a name in a package."""
    for name, text in {
        "their_top/__init__.py": "import caffe",
        "their_factor.py": "factor = 3",
        "their_package/inner/__init__.py": "from .deep import two\n\ndef more():\n    return two",
        "their_package/inner/deep.py": "two = 2",
        "net.prototxt": NET,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "their_top/layers.py").write_text(LAYERS, encoding="latin-1")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


def load(net: Path, **more: object) -> Network:
    return load_net(net, backend="remote", python=f"chroot {caffe_root()} python3", timeout=60, allow_python_layers=True, **more)  # type: ignore[arg-type]


def check(net: Network) -> None:
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = net.activations(x, ["power"])["power"]
    assert torch.allclose(value, (6 * x.detach()) ** 2)
    assert torch.allclose(torch.autograd.grad(value.sum(), x)[0], 72 * x.detach())


def test_modules_and_what_they_import_are_sent(folder: Path) -> None:
    net = load(folder / "net.prototxt")
    check(net)
    assert "caffe" not in sys.modules
    assert isinstance(net.backend, CaffeBackend)
    assert isinstance(net.backend.connection, Remote)
    assert net.backend.connection.pid is not None
    os.kill(net.backend.connection.pid, signal.SIGKILL)
    check(net)
    with pytest.raises(BackendError, match=r"ValueError: 13 is too wide \(.*their_top/layers.py:17, in forward\)"):
        net.activations(torch.zeros(1, 3, 5, 13), ["power"])
    check(net)
    net.backend.close()


def test_the_engine_runs_the_same_module(folder: Path) -> None:
    check(load_net(folder / "net.prototxt", allow_python_layers=True))
    assert "caffe" not in sys.modules


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("import caffe\n", "import caffe, torch\n", "No module named 'torch'; 'torch' is an installed package here, install it there too"),
        ("import caffe\n", "import caffe, nothing_of\n", "No module named 'nothing_of'; 'nothing_of' has no Python file on the path here"),
        ("import caffe\n", "import dreamopt.caffe as caffe\n", "let it say `import caffe`"),
        ("import caffe\n", "import caffe\nx = 1 / 0\n", r"ZeroDivisionError: division by zero \(.*layers.py:4"),
        ("class Times", "class Other", "has no class 'Times' that derives from caffe.Layer"),
        ("Times(caffe.Layer)", "Times(object)", "has no class 'Times' that derives from caffe.Layer"),
        ("import caffe\n", "import caffe !\n", "SyntaxError"),
    ],
)
def test_what_cannot_be_imported_there(folder: Path, old: str, new: str, sentence: str) -> None:
    (folder / "their_top/layers.py").write_text(LAYERS.replace(old, new), encoding="latin-1")
    with pytest.raises(NetError, match=rf"net.prototxt:3: layer 'times' \(Python\): its module 'their_top.layers' .*{sentence}"):
        load(folder / "net.prototxt")


def test_a_module_that_is_nowhere_or_the_program_itself(folder: Path) -> None:
    for module, sentence in (("their_none", "No module named 'their_none'"), ("__main__", "put the class into a module of its own")):
        (folder / "net.prototxt").write_text(NET.replace("their_top.layers", module))
        with pytest.raises(NetError, match=sentence):
            load(folder / "net.prototxt")


def test_a_setup_that_raises(folder: Path) -> None:
    (folder / "their_top/layers.py").write_text(LAYERS.replace('print("to nobody", input.__name__)', 'raise RuntimeError("no")'), "latin-1")
    with pytest.raises(BackendError, match=r"RuntimeError: no \(.*layers.py:10, in setup\)"):
        load(folder / "net.prototxt")
