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
from dreamopt.caffe.legacy.python2 import add_advice, translation
from dreamopt.caffe.legacy.scope import script_builtins
from dreamopt.errors import UsageError
from dreamopt.parts.reading import LARGEST_TEXT, read_bytes

SCRIPT = "DREAMOPT_CAFFE_SCRIPT"
"""Environment variable that tells a process which the script starts by multiprocessing what to run before its work."""


def execute(path: str, scope: dict[str, Any]) -> None:
    """Run the file's code in ``scope``.

    Raises
    ------
    UsageError
        For what is no regular file.
    """
    code = _compiled(path, read_bytes(path, "the script", UsageError, LARGEST_TEXT))
    scope["__builtins__"] = script_builtins(scope, os.path.dirname(os.path.abspath(path)))
    try:
        exec(code, scope)
    except Exception as error:
        add_advice(error)
        raise


def _compiled(path: str, source: bytes) -> types.CodeType:
    try:
        return compile(source, path, "exec")
    except TabError:  # Python 2 took a tab for the way to the next multiple of eight
        expanded = b"\n".join(_expanded(line) for line in source.split(b"\n"))
        return _compiled_or_advised(path, expanded)
    except SyntaxError:
        return _compiled_or_advised(path, source)


def _expanded(line: bytes) -> bytes:
    rest = line.lstrip(b" \t")
    return line[: len(line) - len(rest)].expandtabs(8) + rest


def _compiled_or_advised(path: str, source: bytes) -> types.CodeType:
    try:
        return compile(source, path, "exec")
    except SyntaxError as error:
        # In its message: Python 3.11.2 shows no notes of syntax errors.
        error.msg += f" (if this script is for Python 2, translate it first: {translation(path)})"
        raise


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
