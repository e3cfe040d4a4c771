"""Nets with layers and words of forks on a real Caffe that has none of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dreamopt.backends.caffe.connection import WorkerLostError
from dreamopt.backends.caffe.remote import Remote
from dreamopt.cli import cli
from dreamopt.engine import Net
from dreamopt.errors import BackendError, TargetError
from dreamopt.network import load_net
from dreamopt.schema import parse_net
from tests.oracle.conftest import caffe_root
from tests.support.forks import SSD
from tests.support.nets import conv, image_input, layer, python_layer

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("forks")
    path, weights = folder / "ssd.prototxt", folder / "ssd.caffemodel"
    path.write_text(SSD)
    Net(path, seed=5).save(weights)
    return path, weights


def test_what_does_not_need_them_is_the_engines(files: tuple[Path, Path]) -> None:
    net = load_net(*files, backend="remote", python=f"chroot {caffe_root()} python3")
    truth = load_net(*files, device="cpu")
    x = torch.randn(2, 3, 21, 19, generator=torch.Generator().manual_seed(1))
    names = ["conv1", "relu1", "drop", "conv2"]
    found = []
    for one in (net, truth):
        seen = x.clone().requires_grad_()
        activations = one.activations(seen, names)
        sums = [(i + 1) * act.square().sum() for i, act in enumerate(activations.values())]
        found.append([*activations.values(), torch.autograd.grad(torch.stack(sums).sum(), seen)[0]])
    for a, b in zip(*found, strict=True):
        assert float((a - b).detach().norm() / b.detach().norm()) < 1e-5
    assert net.layers == truth.layers
    assert net.hash() == truth.hash()
    with pytest.raises(
        BackendError, match=rf"^{files[0]}:8: layer 'norm' \(Normalize\): Caffe 1\.0\.0 in 'chroot .*' has no layers of this"
    ):
        net.activations(x, ["conv2", "perm"])
    with pytest.raises(
        BackendError, match=rf"^{files[0]}:14: layer 'drop2' \(Dropout\): Caffe .* has no dropout_param\.scale_train: false; "
    ):
        net.activations(x, ["last"])
    net.backend.close()  # type: ignore[attr-defined]


def test_render_below_them(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    words = ["render", "--net", str(files[0]), "--weights", str(files[1]), "-t", "conv1:1", "--steps", "2", "-q", "-o", str(out)]
    got = CliRunner().invoke(cli, [*words, "--backend", "remote", "--python", f"chroot {caffe_root()} python3"])
    assert got.exit_code == 0, got.output
    assert out.exists()


def test_what_a_killed_worker_left_goes_with_the_next_start() -> None:
    def folders() -> set[Path]:
        return set((caffe_root() / "tmp").glob("dreamopt-caffe-*"))

    before = folders()
    connection = Remote(f"chroot {caffe_root()} python3", "cpu", 60.0)
    connection.ask({"op": "file", "name": "weights.caffemodel", "first": True}, [np.zeros(11, np.uint8)])
    (mine,) = folders() - before
    assert (mine / "weights.caffemodel").stat().st_size == 11
    assert connection.pid is not None
    os.kill(connection.pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        connection.ask({"op": "hash"})
    assert connection.generation == 2
    assert mine not in folders()
    connection.close()


def test_an_abort_names_the_users_line(tmp_path: Path) -> None:
    path = tmp_path / "sum.prototxt"
    path.write_text("""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 7 } } }
        layer { name: "cut" type: "Pooling" bottom: "data" top: "cut" pooling_param { kernel_size: 2 } }
        layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "cut" top: "sum" }
    """)
    with pytest.raises(BackendError, match=rf"^{path}:4: Caffe aborted in layer 'sum': Check failed: "):
        load_net(path, backend="remote", python=f"chroot {caffe_root()} python3")


def test_layers_that_cannot_be_computed_never_reach_caffe(tmp_path: Path) -> None:
    """A Python layer that may not run, one of a fork, and an input without a shape; Caffe would abort on each."""
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    below = image_input(shape=(1, 3, 12, 9)) + conv("one", "data", 6, "kernel_size: 3 pad: 1", relu=True) + conv("two", "one", 4)
    above = (
        python_layer("proposal", "ProposalLayer", "two", "rois", module="rpn.proposal_layer")
        + layer("pool", "ROIPooling", "one rois", more="roi_pooling_param { pooled_w: 2 pooled_h: 2 }")
        + layer("boxes", "Proposal", "two one")
        + layer("info", "Input")
        + layer("join", "Eltwise", "info one")
    )
    path.write_text(below + above)
    Net(parse_net(below), seed=5).save(weights)
    net = load_net(path, weights, backend="remote", python=f"chroot {caffe_root()} python3")
    truth = Net(parse_net(below), weights).program(["two"])
    x = torch.randn(2, 3, 12, 9, generator=torch.Generator().manual_seed(1))
    values, expected = net.activations(x, ["two"])["two"], truth({"data": x})["two"]
    assert float((values - expected).norm() / expected.norm()) < 1e-5
    assert [(entry.name, entry.needs) for entry in net.left_out] == [
        ("info", ""),
        ("join", "info"),
        ("proposal", ""),
        ("pool", "proposal"),
        ("boxes", ""),
    ]
    with pytest.raises(
        TargetError, match=r"^'pool' is not computed, since it needs 'proposal': .*:5: layer 'proposal' \(Python\) runs code"
    ):
        net.activations(x, ["pool"])
    with pytest.raises(BackendError, match=r":7: layer 'boxes' \(Proposal\): Caffe 1\.0\.0 .* has no layers of this type"):
        net.activations(x, ["boxes"])
    net.backend.close()  # type: ignore[attr-defined]
