"""The package that users install is whole: every folder, every data file, importable far from the repository."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import dreamopt

ROOT = Path(__file__).resolve().parents[2]


def folders() -> set[str]:
    found = {"dreamopt", "dreamopt.objectives", "dreamopt.regularizers"}
    for init in (ROOT / "dreamopt").rglob("__init__.py"):
        found.add(".".join(init.parent.relative_to(ROOT).parts))
    return found


def test_every_folder_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert listed == folders()


def test_the_links_stand() -> None:
    for name in ("objectives", "regularizers"):
        link = ROOT / "dreamopt" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


@pytest.mark.parametrize("name", ["objectives", "regularizers"])
def test_plugins_refuse_their_bare_name(name: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/", timeout=60)
    assert got.returncode != 0
    assert f"dreamopt.{name}" in got.stderr.splitlines()[-1]


def modules() -> list[str]:
    found = (m.name for m in pkgutil.walk_packages(dreamopt.__path__, "dreamopt."))
    # The kernels' libraries are opened by ctypes, not imported.
    return [name for name in found if not name.endswith("__main__") and not name.startswith("dreamopt.engine.native._")]


@pytest.mark.parametrize("name", modules())
def test_all_is_true(name: str) -> None:
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.__all__ names {public}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # Without isolation: what builds it is here already, and a test fetches nothing. One of three native modules is enough to see.
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"DREAMOPT_NATIVE_KINDS": "any"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


def test_the_wheel_holds_everything(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = set()
    for top in ("dreamopt", "objectives", "regularizers"):
        for path in (ROOT / top).rglob("*"):
            kept = (
                path.is_file()
                and "__pycache__" not in path.parts
                and path.suffix
                in {".py", ".pyi", ".proto", ".toml", ".prototxt", ".caffemodel", ".txt", ".typed", ".html", ".css", ".js", ".svg"}
            )
            if kept:
                inner = path.relative_to(ROOT).as_posix()
                wanted.add(inner if top == "dreamopt" else f"dreamopt/{inner}")
    assert wanted <= names, sorted(wanted - names)
    if shutil.which("g++"):
        assert any(name.startswith("dreamopt/engine/native/_any.") for name in names)
    assert not [n for n in names if n.split("/")[0] in {"tests", "benchmarks", "tools", "objectives", "regularizers"}]


def test_the_wheel_works_far_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    # The libraries come from this environment, dreamopt from the wheel.
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    here = [p for p in sys.path if "site-packages" in p]
    code = (
        f"import sys; sys.path += {here!r}\n"
        "import dreamopt, pathlib, dreamopt.objectives\n"
        f"assert pathlib.Path(dreamopt.__file__).is_relative_to({str(site)!r}), dreamopt.__file__\n"
        "net = dreamopt.load_net()\n"
        "print(net.input_shape, dreamopt.objectives.Channel.__module__)"
    )
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which may lead back here
    got = subprocess.run(
        [str(home / "bin/python"), "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=outside, timeout=120
    )
    assert got.returncode == 0, got.stderr
    assert got.stdout.split()[-1] == "dreamopt.objectives.channel"
