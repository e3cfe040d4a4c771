"""A backend is one file: its name is known without an import, and load_net, --backend, inspect and errors find it by it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from dreamopt.backends import registry
from dreamopt.backends.base import Backend, OpenOptions
from dreamopt.backends.engine import EngineBackend
from dreamopt.backends.registry import backend_choices, backend_names, opener, registered_backend
from dreamopt.cli import main
from dreamopt.engine.net import Net
from dreamopt.errors import BackendError, UsageError
from dreamopt.network import load_net
from dreamopt.recipes.inspect import inspect
from dreamopt.schema import NetDef


class Toy(EngineBackend):
    """The engine under another name."""

    name = "toy"


def open_toy(definition: NetDef, weights: str | os.PathLike[str] | None, options: OpenOptions) -> Backend:
    return Toy(Net(definition, weights=weights, seed=options.seed))


def test_names_come_from_the_files_of_the_folder() -> None:
    assert {"engine", "pycaffe", "remote"} <= set(backend_names())
    assert not {"base", "registry", "torch_functions", "caffe"} & set(backend_names())
    assert backend_choices() == ["auto", *backend_names()]
    assert opener("auto") is opener("engine")


def test_names_come_without_loading_torch() -> None:
    code = "import sys; from dreamopt.backends.registry import backend_choices; backend_choices(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_registered_backend_is_used_by_its_name() -> None:
    with registered_backend("toy", open_toy):
        network = load_net(backend="toy")
        assert isinstance(network.backend, Toy)
        assert inspect(network)["backend"] == "toy"
        assert "toy" in backend_choices()
        assert torch.equal(
            network.activations(torch.ones(1, 3, 33, 35), ["conv1"])["conv1"],
            load_net(device="cpu").activations(torch.ones(1, 3, 33, 35), ["conv1"])["conv1"],
        )
        result = CliRunner().invoke(main, ["inspect", "--backend", "toy"])
        assert result.exit_code == 0
        assert "toy backend" in result.output
    assert "toy" not in backend_names()


def test_one_new_file_is_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is read, so a file that is put there is known; here another folder stands in for it."""
    (tmp_path / "other.py").write_text("def open_net(definition, weights, options):\n    raise NotImplementedError\n")
    (tmp_path / "_helper.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    assert backend_names() == ["other"]


def test_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far_backend.py").write_text("from tests.unit.backends.test_registry import open_toy as open_net\n")
    (tmp_path / "empty_backend.py").write_text("")
    (tmp_path / "ending_backend.py").write_text("raise SystemExit('bye')\n")
    values = {"far": "far_backend", "gone": "no_such_module", "empty": "empty_backend", "ending": "ending_backend"}
    points = {name: EntryPoint(name, value, registry.GROUP) for name, value in values.items()}
    monkeypatch.setattr(registry, "_installed", lambda: points)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "far" in backend_names()
    assert opener("far").__name__ == "open_toy"
    with pytest.raises(BackendError, match=r"entry point gone = no_such_module .* cannot be imported: No module named"):
        opener("gone")
    with pytest.raises(
        BackendError, match=r"entry point ending = ending_backend of an installed package .*: it ends the program \(Sys.*: bye\)"
    ):
        opener("ending")
    with pytest.raises(BackendError, match="entry point empty = empty_backend: a backend's module must have a function open_net"):
        opener("empty")


def test_unknown_names() -> None:
    with pytest.raises(
        BackendError, match=r"there is no backend 'remot' \(did you mean remote\?\); there is auto, " + ", ".join(backend_names())
    ):
        load_net(backend="remot")
    result = CliRunner().invoke(main, ["inspect", "--backend", "remot"])
    assert result.exit_code == 2
    assert "'remot' is not one of 'auto', " in result.output


def test_a_command_is_for_remote_alone() -> None:
    for name in ("engine", "pycaffe"):
        with pytest.raises(UsageError, match=f"python is for backend 'remote', but the backend is '{name}'"):
            load_net(backend=name, python="python3")


def test_the_engine_keeps_the_protocol() -> None:
    backend = load_net(device="cpu").backend
    assert backend.net_name == "tiny"
    assert backend.weights_report.source
    assert list(backend.random_layers) == []
    assert list(backend.unused_layers) == []
    before = backend.activations(torch.ones(1, 3, 33, 35), ["conv1"])["conv1"]
    backend.close()
    assert torch.equal(before, backend.activations(torch.ones(1, 3, 33, 35), ["conv1"])["conv1"])
