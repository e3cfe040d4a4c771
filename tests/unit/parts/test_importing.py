"""Plugins that fail while they are imported: a sentence with the entry point and its package, whatever they raise."""

import subprocess
import sys
from pathlib import Path

import pytest

from dreamopt.errors import NetError, ObjectiveError
from dreamopt.parts.importing import foreign_import

NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }
layer { name: "p" type: "Python" bottom: "data" top: "p" python_param { module: "%s" layer: "Own" } }
"""
ENDS = {
    "raise SystemExit": r"it ends the program \(SystemExit\)$",
    "import sys; sys.exit('bye\\x1b[2J')": r"it ends the program \(SystemExit: bye\\x1b\[2J\)$",
    "raise ValueError('three\\nlines\\n')": r"ValueError: three lines$",
    "raise BaseException('odd')": r"BaseException: odd$",
    "raise GeneratorExit": r"GeneratorExit$",
    "import no_such_module_at_all": r"No module named 'no_such_module_at_all'$",
    "class E(Exception):\n    def __str__(self): raise KeyError\nraise E": r"\bE$",
    "(": r"SyntaxError: '\(' was never closed",
}


@pytest.mark.parametrize("source", ENDS)
def test_entry_points_are_named_with_their_package(tmp_path: Path, source: str) -> None:
    """In a process of its own, with an installed package that registers one."""
    (tmp_path / "ending.py").write_text(source + "\n")
    info = tmp_path / "ending_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ending-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dreamopt.objectives]\nending = ending:Ending\n[dreamopt.backends]\nending = ending\n")
    program = (
        "import re, sys; sys.path.insert(0, sys.argv[1])\n"
        "from dreamopt.backends.registry import opener\nfrom dreamopt.objective import parse\n"
        "from dreamopt.errors import DreamoptError\n"
        "for call in (lambda: parse('ending(\"fc\")'), lambda: opener('ending')):\n"
        "    try:\n        call()\n    except DreamoptError as error:\n        print(type(error).__name__, '|', error)\n"
        "print('goes on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True)
    part, backend, last = done.stdout.splitlines()
    assert last == "goes on"
    start = "entry point ending = ending:Ending of ending-parts cannot be imported: "
    assert part.startswith(f"ObjectiveError | {start}")
    assert backend.startswith(
        "BackendError | entry point ending = ending of ending-parts in the group dreamopt.backends cannot be imported: "
    )
    for line in (part, backend):
        with pytest.raises(ObjectiveError, match=ENDS[source]):
            raise ObjectiveError(line)


def test_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt), foreign_import("a plugin", ObjectiveError):
        raise KeyboardInterrupt


@pytest.mark.parametrize("source", ENDS)
def test_modules_of_python_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    from dreamopt.engine import Net

    name = f"own_layers_{list(ENDS).index(source)}"
    (tmp_path / f"{name}.py").write_text(source + "\n")
    (tmp_path / "net.prototxt").write_text(NET % name)
    monkeypatch.syspath_prepend(str(tmp_path))
    message = ENDS[source].removesuffix("$") if "No module" in ENDS[source] else ENDS[source]
    with pytest.raises(NetError, match=rf"layer 'p' \(Python\): its module '{name}' cannot be imported: .*{message}") as caught:
        Net(str(tmp_path / "net.prototxt"), allow_python_layers=True)
    assert caught.value.__cause__ is not None


def test_ctrl_c_passes_a_python_layers_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.engine import Net

    (tmp_path / "own_layers_c.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "net.prototxt").write_text(NET % "own_layers_c")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        Net(str(tmp_path / "net.prototxt"), allow_python_layers=True)
