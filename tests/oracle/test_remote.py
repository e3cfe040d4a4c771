"""Real Caffe in another Python that aborts, is killed, hangs, is not there; and the same images as the engine's."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.remote import Remote
from dreamopt.backends.engine import EngineBackend
from dreamopt.cli import cli
from dreamopt.engine import Net
from dreamopt.errors import BackendError, UsageError, WeightsError
from dreamopt.network import Network, load_net
from dreamopt.optimize import Adam, run
from dreamopt.problem import Problem
from dreamopt.recipes import Settings
from dreamopt.recipes.render import render
from dreamopt.schema import parse_net, read_net
from tests.oracle.conftest import caffe_root
from tests.support.oracle.random_nets import make_case
from tests.support.redirected_nets import CASES, Case, asked, gradient, inputs, made

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def python() -> str:
    return f"chroot {caffe_root()} python3"


@pytest.fixture
def net(python: str) -> Iterator[Network]:
    made = load_net(backend="remote", python=python, timeout=60)
    yield made
    backend(made).close()


def backend(net: Network) -> CaffeBackend:
    assert isinstance(net.backend, CaffeBackend)
    return net.backend


def remote(net: Network) -> Remote:
    connection = backend(net).connection
    assert isinstance(connection, Remote)
    return connection


def some_layer(net: Network) -> str:
    return next(info.name for info in net.layers[10:] if info.type == "ReLU")


def kill(net: Network) -> None:
    pid = remote(net).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


SETTINGS = Settings(steps=12, size=(48, 56), jitter=3)


def test_killed_in_the_middle_of_a_render_the_render_goes_on(net: Network) -> None:
    target = f"{some_layer(net)}:2"
    (alone,) = render(net, target, SETTINGS)
    started = remote(net).generation
    steps = 0

    def kill_some(progress: object) -> None:
        nonlocal steps
        steps += 1
        if steps in (3, 7):
            kill(net)

    (other,) = render(net, target, SETTINGS, callbacks=[kill_some])
    assert remote(net).generation == started + 2
    assert alone.value == other.value
    assert np.array_equal(alone.image, other.image)


def test_killed_between_forward_and_backward(net: Network) -> None:
    x = torch.randn(2, 3, 48, 56, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = some_layer(net)
    (alone,) = torch.autograd.grad(net.activations(x, [layer])[layer].sum(), x)
    value = net.activations(x, [layer])[layer].sum()
    kill(net)
    assert torch.equal(torch.autograd.grad(value, x)[0], alone)


@pytest.mark.parametrize("at", [1, 2, 5])
def test_killed_between_the_steps_of_a_rule(net: Network, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    x = torch.randn(2, 3, 48, 56, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = some_layer(net)
    (alone,) = torch.autograd.grad(net.activations(x, [layer], rule="guided")[layer].sum(), x)
    value = net.activations(x, [layer], rule="guided")[layer].sum()
    ask, asked = Remote.ask, []

    def killing(self: Remote, header: dict[str, object], arrays: object = ()) -> object:
        asked.append(header["op"])
        if asked.count("backward") == at and header["op"] == "backward":
            kill(net)
        return ask(self, header, arrays)  # type: ignore[arg-type]

    monkeypatch.setattr(Remote, "ask", killing)
    assert torch.equal(torch.autograd.grad(value, x)[0], alone)
    assert "load" in asked, "a new worker was started"


def test_a_worker_that_hangs_is_replaced(net: Network) -> None:
    layer = some_layer(net)
    x = torch.randn(1, 3, 48, 56)
    alone = net.activations(x, [layer])[layer]
    remote(net)._timeout = 3.0
    pid = remote(net).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert torch.equal(net.activations(x, [layer])[layer], alone)
    assert remote(net).pid != pid


def test_twice_in_the_same_pass_is_an_error(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Remote.ask

    def killing(self: Remote, header: dict[str, object], arrays: object = ()) -> object:
        if header["op"] == "forward":
            kill(net)
        return ask(self, header, arrays)  # type: ignore[arg-type]

    monkeypatch.setattr(Remote, "ask", killing)
    with pytest.raises(BackendError, match="SIGKILL, twice in the same pass"):
        net.activations(torch.zeros(1, 3, 48, 56), ["data", some_layer(net)])


def test_cudnn_is_not_insisted_on(python: str, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET.replace("num_output: 4", "num_output: 4 engine: CUDNN"))
    with pytest.warns(match="random"):
        net = load_net(tmp_path / "net.prototxt", backend="remote", python=python, timeout=60)
    assert net.shape_of("conv") == (4, 7, 9)
    backend(net).close()


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 11 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "other" type: "Input" top: "other" input_param { shape { dim: 1 dim: 4 dim: 7 dim: 9 } } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "other" top: "sum" }
"""


@pytest.fixture
def small(python: str, tmp_path: Path) -> Iterator[Network]:
    (tmp_path / "net.prototxt").write_text(NET)
    with pytest.warns(match="random"):
        made = load_net(tmp_path / "net.prototxt", backend="remote", python=python, timeout=60)
    yield made
    backend(made).close()


def test_an_abort_is_an_error_with_caffes_words_and_the_layer(small: Network) -> None:
    x = torch.randn(1, 3, 9, 11)
    alone = small.activations(x, ["sum"])["sum"]
    started = remote(small).generation
    with pytest.raises(BackendError, match=r"Caffe aborted in layer 'sum': Check failed: .*shape.*eltwise_layer.cpp"):
        small.activations(torch.zeros(1, 3, 20, 20), ["sum"])
    assert torch.equal(small.activations(x, ["sum"])["sum"], alone), "random weights come out the same in a new worker"
    assert remote(small).generation == started + 1


def test_an_abort_while_a_net_is_made(python: str, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET.replace("dim: 4 dim: 7", "dim: 4 dim: 8"))
    with pytest.raises(BackendError, match=r"Caffe aborted in layer 'sum': Check failed"):
        load_net(tmp_path / "net.prototxt", backend="remote", python=python, timeout=60)


def test_weights_gradients_are_not_computed(python: str, tmp_path: Path) -> None:
    import dreamopt.caffe as caffe
    from dreamopt.backends.caffe.subnet import SubnetBuilder

    (tmp_path / "net.prototxt").write_text(NET)
    surgery = SubnetBuilder(read_net(tmp_path / "net.prototxt"))
    subnet = surgery.cut([surgery.source("data")], [surgery.graph.value("sum"), surgery.graph.value("conv")], {"conv": 2})
    text = surgery.text(subnet, {subnet.inputs[0]: (1, 3, 9, 11), "other": (1, 4, 7, 9)})
    code = """
open("net.prototxt", "w").write(arguments["text"])
net = caffe.Net("net.prototxt", caffe.TEST)
for name in net.params:
    for blob in net.params[name]:
        blob.data[...] = 0.5
for blob in net.blobs.values():
    blob.data[...] = 1
net.forward()
net.backward()
result["weights"] = np.concatenate([blob.diff.ravel() for blob in net.params["conv"]])
result["data"] = net.blobs[arguments["data"]].diff
"""
    from tests.support.oracle.harness import Oracle

    asked = Oracle(caffe_root())
    try:
        found = asked.script(code, arguments={"text": text, "data": subnet.diffs[0]})
    finally:
        asked.close()
    assert not found["weights"].any()
    assert found["data"].any()
    (tmp_path / "piece.prototxt").write_text(text)
    assert "dreamopt_tap" in "".join(caffe.Net(str(tmp_path / "piece.prototxt"), caffe.TEST).blobs)


def test_commands_that_start_no_caffe(python: str, tmp_path: Path) -> None:
    def start(command: str | list[str], **more: object) -> None:
        load_net(backend="remote", python=command, timeout=20, **more)  # type: ignore[arg-type]

    with pytest.raises(BackendError, match=r"'/nowhere/python' cannot be started \(No such file or directory: /nowhere/python\)"):
        start("/nowhere/python")
    with pytest.raises(BackendError, match="starts no Python with numpy: it ended with status 3: oh no"):
        start(["sh", "-c", 'echo oh no >&2; exit 3 "$@"', "sh"])
    with pytest.raises(BackendError, match="has no Caffe that can be imported: No module named 'caffe'"):
        start([sys.executable])
    with pytest.raises(BackendError, match=r"cannot use GPU 0 \(Cannot use GPU in CPU-only Caffe: check mode.\)"):
        start(python, device="cuda")
    with pytest.raises(UsageError, match="empty command"):
        start("")
    with pytest.raises(UsageError, match=r"python is \"chroot '/srv\", which is no command: No closing quotation"):
        start("chroot '/srv")
    with pytest.raises(WeightsError, match="no such file here, nor where Caffe runs"):
        start(python, weights="/nowhere/net.caffemodel")
    (tmp_path / "caffe.py").write_text("__version__ = '0.9'; TEST = 1\ndef set_mode_cpu(): pass\n")
    with pytest.raises(BackendError, match=r"Caffe 0\.9 is too old: it has no layer_type_list"):
        start(["env", f"PYTHONPATH={tmp_path}", sys.executable])


def test_a_wrapper_that_talks_first(python: str) -> None:
    net = load_net(backend="remote", python=["sh", "-c", f'echo welcome to gpubox; exec {python} "$@"', "sh"], timeout=60)
    assert net.hash() == load_net().hash()
    backend(net).close()


def test_render_makes_the_engines_picture(python: str, tmp_path: Path) -> None:
    metadata = {}
    common = ["-t", f"{some_layer(load_net())}:1", "--steps", "4", "--size", "56x48", "-q", "--json"]
    for name, more in (("engine", []), ("remote", ["--backend", "remote", "--python", python])):
        out = tmp_path / f"{name}.png"
        got = CliRunner().invoke(cli, ["render", *common, "-o", str(out), *more])
        assert got.exit_code == 0, got.output
        metadata[name] = json.loads(got.stdout)["pictures"][0]
    from PIL import Image

    pictures = [np.asarray(Image.open(metadata[name]["path"])).astype(int) for name in metadata]
    difference = np.abs(pictures[0] - pictures[1])
    assert difference.max() <= 1, "a value next to a half may be rounded the other way"
    assert (difference > 0).mean() < 1e-3
    assert metadata["remote"]["net"]["backend"] == "remote"
    assert "Caffe 1.0.0 on the CPU" in metadata["remote"]["net"]["computed_by"]
    assert metadata["remote"]["net"]["weights_sha256"] == metadata["engine"]["net"]["weights_sha256"]
    assert "--backend remote" in json.dumps(metadata["remote"])


def test_random_nets(python: str, tmp_path: Path) -> None:
    """All that makes blobs share, split and overwrite each other, from the values that no layer reads down to the data."""
    for seed in range(8):
        net = Net(parse_net(make_case(seed).text), seed=seed)
        for name, blobs in net.params.items():
            if net.layer_dict[name].type == "BatchNorm":
                for blob in blobs:
                    blob.data[...] = np.random.default_rng(seed).uniform(0.5, 1.5, blob.shape)
        net.save(tmp_path / "net.caffemodel")
        ours = EngineBackend(net)
        theirs = CaffeBackend(parse_net(make_case(seed).text), tmp_path / "net.caffemodel", Remote(python, "cpu", 60))
        read = {bottom for info in ours.layers for bottom in info.bottoms}
        names = [net.outputs[0], *(info.name for info in ours.layers if len(info.tops) == 1 and info.tops[0] not in read)]
        for name in names:
            x = torch.randn(2, *ours.input_shape, generator=torch.Generator().manual_seed(seed))
            values, grads = [], []
            for one in (ours, theirs):
                seen = x.clone().requires_grad_()
                values.append(one.activations(seen, [name])[name])
                weights = torch.cos(torch.arange(values[-1].numel())).reshape(values[-1].shape)
                grads.append(torch.autograd.grad((values[-1] * weights).sum(), seen)[0])
            for a, b in (values, grads):
                assert float((a - b).detach().norm()) <= 1e-4 * float(b.detach().norm()) + 1e-5, f"seed {seed}, {name}"
        assert theirs.weights_hash() == ours.weights_hash()
        theirs.close()


def test_a_slices_name_means_its_first_top(python: str, tmp_path: Path) -> None:
    """On real Caffe as on the engine, also where a layer in place overwrites that top."""
    path = tmp_path / "net.prototxt"
    path.write_text("""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 5 dim: 7 dim: 6 } } }
layer { name: "square" type: "Power" bottom: "data" top: "square" power_param { power: 2 } }
layer { name: "half" type: "Slice" bottom: "square" top: "one" top: "two" slice_param { axis: 1 slice_point: 2 } }
layer { name: "shifted" type: "Power" bottom: "one" top: "one" power_param { shift: 1 scale: 3 } }
layer { name: "sum" type: "Reduction" bottom: "one" top: "sum" }
""")
    x = torch.randn(2, 5, 7, 6, generator=torch.Generator().manual_seed(3))
    square = x**2
    expected = {
        "half": square[:, :2],
        "half[0]": square[:, :2],
        "half[1]": square[:, 2:],
        "two": square[:, 2:],
        "one": 3 * square[:, :2] + 1,
    }
    for backend, command in (("engine", None), ("remote", python)):
        net = load_net(path, backend=backend, python=command, device="cpu")
        assert net.shape_of("half") == (2, 7, 6)
        seen = x.clone().requires_grad_()
        values = net.activations(seen, list(expected))
        for name, value in expected.items():
            torch.testing.assert_close(values[name].detach(), value, rtol=1e-5, atol=1e-6)
        (gradient,) = torch.autograd.grad(values["half"].sum(), seen)
        torch.testing.assert_close(gradient, torch.cat([2 * x[:, :2], 0 * x[:, 2:]], 1), rtol=1e-5, atol=1e-6)
        net.backend.close()


def test_inspect_tells_the_backend(python: str) -> None:
    got = CliRunner().invoke(cli, ["inspect", "--backend", "remote", "--python", python])
    assert got.exit_code == 0, got.output
    assert "remote backend: Caffe 1.0.0 on the CPU, Python 3" in got.stdout
    assert "weights loaded" in got.stdout


@pytest.mark.parametrize("between_layers", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if case.name != "relu6"], ids=lambda case: case.name)
def test_redirected_relus(python: str, case: Case, between_layers: bool, tmp_path: Path) -> None:
    path, weights = made(case, tmp_path)
    net, x, recorded = load_net(path, weights, backend="remote", python=python, timeout=60), inputs(case), dict[str, torch.Tensor]()
    leaf = torch.from_numpy(x).float().requires_grad_()
    activations = net.activations(leaf, case.wanted, between_layers=between_layers, rule="redirected", acted=recorded)
    total = torch.stack([(activations[name] * torch.from_numpy(asked(i)).float()).sum() for i, name in enumerate(case.wanted)]).sum()
    found = torch.autograd.grad(total, leaf)[0].numpy()
    backend(net).close()
    expected, acted = gradient(case, x)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    assert {layer: items.tolist() for layer, items in recorded.items()} == acted


def test_dead_units_restart_as_with_the_engine(net: Network) -> None:
    target = " | ".join(f"mixed4/1x1/relu:{unit}@6,6" for unit in (3, 6, 8, 0))
    runs = []
    for one in (net, load_net(device="cpu")):
        problem = Problem(one, target, redirected=16)
        start = problem.start()
        plain = Problem(one, target).evaluate(start)
        assert plain.dead() == [0, 1, 2]
        found = problem.evaluate(start)
        assert found.redirected is not None
        assert found.redirected.tolist() == [True, True, True, False]
        runs.append((found.gradient, torch.from_numpy(run(problem, Adam(), 12).history)))
    for a, b in zip(*runs, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-4
