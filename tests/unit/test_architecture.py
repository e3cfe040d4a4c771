"""Who may import whom: the arrows of the house run one way, and a few libraries have one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Each room, and the rooms it may import when it runs. Names under `if TYPE_CHECKING:` are no arrows.
MAY: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "data": {"errors"},
    "parts": {"version", "errors"},
    "progress": {"parts", "errors"},
    "statistics": {"errors"},
    "schema": {"parts", "errors"},
    "models": {"parts", "version", "errors"},
    "engine": {"schema", "parts", "errors"},
    "image": {"engine", "parts", "errors"},  # of the engine, its native kernels
    "film": {"image", "parts", "errors"},
    "caffe": {"engine", "schema", "image", "parts", "version", "errors"},
    "objective": {"image", "parts", "errors"},
    "regularizer": {"image", "parts", "errors"},
    "objectives": {"objective", "parts", "errors"},
    "regularizers": {"regularizer", "parts", "errors"},
    "backends": {"engine", "caffe", "schema", "parts", "errors"},
    "network": {"backends", "schema", "data", "models", "image", "objective", "parts", "errors"},
    "problem": {"network", "objective", "regularizer", "image", "parts", "errors"},
    "optimize": {"problem", "regularizer", "image", "engine", "parts", "errors"},  # of the engine, its native kernels
    "dataset": {"network", "objective", "objectives", "image", "parts", "version", "errors"},
    "recipes": {"progress", "dataset", "optimize", "problem", "network", "backends", "objective", "objectives", "regularizer", "regularizers", "film", "image",
                "parts", "models", "data", "version", "errors"},
    "study": {"progress", "statistics", "recipes", "optimize", "problem", "network", "objective", "objectives", "regularizer", "image", "models", "parts", "version",
              "errors"},
    "attribution": {"progress", "network", "backends", "objective", "objectives", "statistics", "image", "data", "parts", "version", "errors"},
    "circuits": {"network", "engine", "parts", "errors"},  # of the engine, its layers
    "tuning": {"progress", "network", "problem", "objective", "objectives", "image", "parts", "errors"},
    "activation_atlas": {"progress", "dataset", "circuits", "recipes", "optimize", "problem", "network", "objective", "objectives", "regularizer", "image", "parts",
                         "errors"},
    "atlas": {"progress", "circuits", "tuning", "activation_atlas", "dataset", "recipes", "optimize", "problem", "network", "backends", "objective", "objectives",
              "image", "models", "data", "parts", "version", "errors"},
    "explorer": {"progress", "atlas", "attribution", "recipes", "optimize", "problem", "network", "objective", "objectives", "image", "parts", "version", "errors"},
    "cli": {"progress", "atlas", "explorer", "objectives", "testing", "dataset", "recipes", "study", "attribution", "statistics", "film", "network", "backends", "models", "schema", "data", "image", "parts",
            "version", "errors"},
    "testing": {"atlas", "dataset", "attribution", "study", "recipes", "optimize", "problem", "network", "backends", "engine", "schema", "objective", "objectives", "regularizer",
                "regularizers", "image", "parts", "errors"},
    "notebook": {"progress", "recipes", "optimize", "image", "parts"},
    "__init__": {"parts", "version"},
    "__main__": {"cli"},
}  # fmt: skip

# Libraries that only these files may import.
DOORS = {
    "caffe": {"dreamopt/backends/caffe/in_process.py", "dreamopt/backends/caffe/worker.py"},  # the worker runs in another Python
    "av": {"dreamopt/film"},
    "cv2": {"dreamopt/film/library.py"},
    "tifffile": {"dreamopt/image", "dreamopt/caffe/images.py"},
    "imageio": {"dreamopt/caffe/images.py"},
    "dask": {"dreamopt/atlas/schedulers/dask.py"},
    "distributed": {"dreamopt/atlas/schedulers/dask.py"},
    "openTSNE": {"dreamopt/activation_atlas"},
    "starlette": {"dreamopt/explorer"},
    "uvicorn": {"dreamopt/explorer/serve.py"},
    "matplotlib": {"dreamopt/study/report", "dreamopt/image/colour_maps.py"},
    "jinja2": {"dreamopt/parts/pages.py"},
    "pandas": {"dreamopt/study/report"},
    "pyarrow": {"dreamopt/study/report"},
    "optuna": {"dreamopt/study/proposals"},
    "IPython": {"dreamopt/progress/notebook.py"},
    "click": {"dreamopt/cli"},
    "rich": {"dreamopt/cli", "dreamopt/progress/terminal.py"},
    "google": {"dreamopt/schema"},
    "h5py": {"dreamopt/schema"},
}


def sources() -> list[Path]:
    folders = [ROOT / "dreamopt", ROOT / "objectives", ROOT / "regularizers"]
    return sorted(p for d in folders for p in d.rglob("*.py") if not p.name.endswith("_pb2.py"))


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "dreamopt" else parts[1]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    def walk(node: ast.AST) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                yield from walk(child)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            if node.module == "dreamopt":
                yield from ((f"dreamopt.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module or "", node.lineno
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in sources()])
def test_arrows_run_one_way(path: Path) -> None:
    mine = room(path)
    assert mine in MAY, f"{mine} is a new room: say in MAY what it may import"
    wrong = []
    for name, line in imports(path):
        parts = name.split(".")
        if parts[0] == "dreamopt":
            other = parts[1] if len(parts) > 1 else "__init__"
            if other in MAY and other not in ("__version__", mine) and other not in MAY[mine]:
                wrong.append(f"line {line}: {mine} may not import {name}")
        if parts[0] in ("objectives", "regularizers"):
            wrong.append(f"line {line}: import {parts[0]} as dreamopt.{parts[0]}, or every class exists twice")
        doors = DOORS.get(parts[0])
        where = path.relative_to(ROOT).as_posix()
        if doors is not None and not any(where == d or where.startswith(d + "/") for d in doors):
            wrong.append(f"line {line}: {parts[0]} is imported in {', '.join(sorted(doors)) or 'no file yet'} alone")
    assert not wrong, f"{path.relative_to(ROOT)}: " + "; ".join(wrong)


@pytest.mark.parametrize("folder", ["objectives", "regularizers"])
def test_plugins_need_their_contract_and_torch_alone(folder: str) -> None:
    allowed = {"__future__", "collections", "dataclasses", "functools", "importlib", "math", "torch", "typing"}
    contract = {
        "dreamopt.objective",
        "dreamopt.objective.reference_objectives",
        "dreamopt.regularizer",
        "dreamopt.errors",
        f"dreamopt.{folder}",
    }
    for path in sorted((ROOT / folder).glob("[!_]*.py")):
        for name, line in imports(path):
            assert name.split(".")[0] in allowed or any(name == c or name.startswith(c + ".") for c in contract), (
                f"{path.name}:{line} imports {name}"
            )


def test_images_are_opened_in_one_place() -> None:
    """Pillow's `Image.open` knows no limits: `dreamopt.image.opening` does, and `dreamopt.image.loading` is the door to it."""
    opened: dict[str, list[str]] = {}
    doors = {"opening", "loading", "deep", "tiff_bytes", "jpeg"}
    for path in sources():
        where = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Image.open", "PIL.Image.open", "ImageFile.Parser"}:
                opened.setdefault("Image.open", []).append(where)
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "dreamopt.image.opening"
                and "opened_image" in {a.name for a in node.names}
            ):
                opened.setdefault("opened_image", []).append(where)
            if isinstance(node, ast.ImportFrom | ast.Import) and any(
                "imread" in alias.name or "imdecode" in alias.name for alias in node.names
            ):
                opened.setdefault("imread", []).append(where)
    assert opened["Image.open"] == ["dreamopt/image/opening.py"]
    of_image = {f"dreamopt/image/{name}.py" for name in doors}
    # Caffe's own functions read as scikit-image and SciPy do, within the same limits; a film's source looks how many frames there are.
    others = {"dreamopt/caffe/images.py", "dreamopt/caffe/legacy/scipy_misc.py", "dreamopt/film/sources.py"}
    assert set(opened["opened_image"]) <= of_image | others
    assert set(opened["imread"]) == {"dreamopt/caffe/images.py"}
