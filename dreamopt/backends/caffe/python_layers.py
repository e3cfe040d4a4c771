"""The modules that a net's Python layers name: whether they may run, and their source for a worker that does not have them."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from dreamopt.engine.python_layer import python_layers_allowed
from dreamopt.errors import UsageError
from dreamopt.schema import NetDef, read_net

_NEVER = ("__main__", "caffe", "dreamopt")


@dataclass(frozen=True)
class Source:
    """A module as it is sent.

    Attributes
    ----------
    name : str
        Its dotted name.
    package : bool
        Whether modules may be in it.
    path : str
        The file it is from, for tracebacks.
    text : bytes
        What the file holds.
    """

    name: str
    package: bool
    path: str
    text: bytes


def permitted(allow: bool | None) -> bool:
    """Return whether Python layers may run: as the caller says, else as the environment does."""
    return python_layers_allowed() if allow is None else allow


def read_with_python_data(path: Path, input_shape: Any, **options: Any) -> NetDef:
    """Read a net whose Python data layers run, unless they are its only inputs or the caller gives their shapes."""
    try:
        net = read_net(path, keep=("Python",), input_shape=input_shape, **options)
        if any(layer.type == "Input" for layer in net.param.layer):
            return net
    except UsageError:  # the shape is for no input that is left
        pass
    return read_net(path, input_shape=input_shape, **options)


def wanted_sources(module: str) -> list[Source]:
    """Return the source of the module that a layer names, and of the packages around it; none where there is none here."""
    parts = module.split(".")
    found = [find_source(".".join(parts[: i + 1])) for i in range(len(parts))]
    return [source for source in found if source is not None] if found[-1] is not None else []


def find_source(name: str) -> Source | None:
    """Return a module's source, without importing anything; None for what is no Python file, or is not to be sent."""
    spec = _spec(name)
    if spec is None:
        return None
    package = spec.submodule_search_locations is not None
    if spec.loader is None or spec.origin is None:
        return Source(name, True, "", b"") if package else None
    if not spec.has_location or not spec.origin.endswith(".py") or not hasattr(spec.loader, "get_data"):
        return None
    return Source(name, package, spec.origin, spec.loader.get_data(spec.origin))


def is_installed(source: Source) -> bool:
    """Return whether a module came with Python or was installed by a package manager: then it is to be installed there too."""
    if not source.path:
        return False
    path = Path(source.path)
    folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    # A user's own, a system's under a virtual environment and others on the path are named so, too.
    return any(path.is_relative_to(folder) for folder in folders) or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _spec(name: str) -> ModuleSpec | None:
    top, *rest = name.split(".")
    if top in _NEVER:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that was made by hand
        return None
    for i in range(len(rest)):
        # Not find_spec of the whole name: that would import the packages around it, which may need Caffe.
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join((top, *rest[: i + 1])), list(spec.submodule_search_locations))
    return spec


def import_error(module: str, problem: str, missing: str | None, where: str) -> str:
    """Return the sentence for a module that a worker cannot import."""
    if missing == "dreamopt" or (missing or "").startswith("dreamopt."):
        hint = "; there it is real Caffe that runs it, so let it say `import caffe`"
    elif missing is not None and (source := find_source(missing)) is not None and is_installed(source):
        hint = f"; '{missing}' is an installed package here, install it there too"
    else:
        hint = f"; '{missing}' has no Python file on the path here either ({sys.path[0] or '.'}, ...)" if missing is not None else ""
    return f"its module '{module}' cannot be imported in {where}: {problem}{hint}"
