"""Running a script whose ``import caffe`` means `dreamopt.caffe`."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
import types
from collections.abc import Sequence
from typing import Any

from dreamopt.caffe import alias
from dreamopt.caffe.legacy.names import script_builtins

SCRIPT = "DREAMOPT_CAFFE_SCRIPT"
"""Environment variable that tells a process which the script starts by multiprocessing what to run before its work."""


def execute(path: str, scope: dict[str, Any]) -> None:
    """Run the file's code in ``scope``."""
    with open(path, "rb") as stream:
        source = stream.read()
    try:
        code = compile(source, path, "exec")
    except SyntaxError as error:
        # In its message: Python 3.11.2 shows no notes of syntax errors.
        error.msg += " (if this script is for Python 2, translate it first: 2to3 -w -n SCRIPT)"
        raise
    scope["__builtins__"] = script_builtins()
    exec(code, scope)


def run_script(path: str, arguments: Sequence[str]) -> None:
    """Run a script as ``python SCRIPT ARGUMENTS`` would, with ``caffe`` meaning dreamopt's."""
    alias.install(old_names=True)
    main = types.ModuleType("__main__")
    main.__file__ = path
    # Processes that multiprocessing spawns import what this names: `dreamopt.caffe.child`, which runs the script in turn.
    main.__spec__ = importlib.util.find_spec("dreamopt.caffe.child")
    os.environ[SCRIPT] = os.path.abspath(path)
    sys.argv[:] = [path, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.abspath(path))
    sys.modules["__main__"] = main
    execute(path, main.__dict__)


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module as ``python -m NAME ARGUMENTS`` would, with ``caffe`` meaning dreamopt's."""
    alias.install(old_names=True)
    sys.argv[:] = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
