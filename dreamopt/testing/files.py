"""The parts that a file defines, and all of their checks: what ``dreamopt check my_part.py`` and ``dreamopt check my_preset.toml`` run."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from dreamopt.errors import DreamoptError, UsageError, in_brackets, suggest
from dreamopt.parts.importing import import_failure
from dreamopt.testing.cases import OPENER, AnyCase, checks_of, kind_of, other_kind_of
from dreamopt.testing.kind import PartError
from dreamopt.testing.presets import preset_cases_of


@dataclass(frozen=True)
class Failure:
    """A check that a part did not pass.

    Attributes
    ----------
    check : str
        The example and the check, or the check alone.
    line : int
        Of the file: where the part's own code was when the check failed, or where its class begins.
    problem : str
        What does not hold, in a sentence.
    """

    check: str
    line: int
    problem: str


@dataclass(frozen=True)
class Checked:
    """A part of a file, after its checks.

    Attributes
    ----------
    name : str
        The class, ``open_net`` of a backend, the file of a preset.
    kind : str
        Of part, in the plural, as "objectives".
    line : int
        Where the class begins.
    passed : int
        The checks that it passed.
    failures : tuple of Failure
        The others.
    """

    name: str
    kind: str
    line: int
    passed: int
    failures: tuple[Failure, ...]


def check_file(
    path: str | os.PathLike[str], names: Sequence[str] = (), *, progress: Callable[[str, int, int], None] | None = None
) -> list[Checked]:
    """Import a Python file, and check each part that it defines by all that its kind promises; or check a preset's TOML file.

    A Python file is run, as ``python FILE`` would run it, but for its ``if __name__ == "__main__"``. A function ``open_net`` is a backend.

    Parameters
    ----------
    path : path
        Of the file; what lies beside it can be imported by it.
    names : sequence of str
        The classes to check; by default all that inherit from a kind of part. Names that begin with an underscore, and classes
        with methods left abstract, are helpers, and are checked only where they are named.
    progress : callable, optional
        Called with the class, the checks done and their number.

    Returns
    -------
    list of Checked
        One for each part, in the order of the file.

    Raises
    ------
    UsageError
        If there is no such file, it cannot be imported, or defines no part, or none of a name.
    PartError
        If it registers a part that lacks a method of its kind, with the line.
    """
    file = Path(path)
    if file.suffix.lower() == ".toml":
        return [_checked_preset(file, names, progress)]
    module = _imported(file)
    parts = {name: part for name, part in vars(module).items() if _is_part(part) and part.__module__ == module.__name__}
    for name in names:
        if name not in parts:
            raise UsageError(f"{file} defines no part '{name}'{in_brackets(suggest(name, parts))}")
    chosen = list(names) or [name for name, part in parts.items() if not name.startswith("_") and not inspect.isabstract(part)]
    if not chosen:
        raise UsageError(
            f"{file} defines no part to check: a part is a class that inherits from Objective, Penalty, Projection, Layer or another "
            f"kind of part (docs/extend shows one of each), or a backend's function {OPENER}; another function is checked by using it"
        )
    try:
        return sorted((_checked(parts[name], name, file, progress) for name in chosen), key=lambda checked: checked.line)
    finally:
        sys.modules.pop(module.__name__, None)


def _is_part(value: object) -> bool:
    return other_kind_of(value) is not None or kind_of(value) is not None


def _imported(file: Path) -> ModuleType:
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    if file.suffix != ".py":
        raise UsageError(f"{file} is no Python file and no preset: its name must end in .py or .toml")
    name = file.stem if file.stem.isidentifier() and file.stem not in sys.modules else "_dreamopt_checked"
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    beside = str(file.resolve().parent)
    sys.path.append(beside)  # last, so that a file beside it called json.py is nobody else's json
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # also SystemExit: the file must not end this program without a word
        sys.modules.pop(name, None)
        line = problem.lineno if isinstance(problem, SyntaxError) else _line(problem.__traceback__, file)
        where = file if line is None else f"{file}:{line}"
        if isinstance(problem, DreamoptError):  # a part was registered, or checked, that breaks its contract
            raise PartError(f"{where}: {str(problem).removeprefix(f'{file.resolve()}: ')}") from problem
        raise UsageError(f"{where}: the file cannot be imported: {import_failure(problem)}") from problem
    finally:
        sys.path.remove(beside)
    return module


def _checked(part: Any, name: str, file: Path, progress: Callable[[str, int, int], None] | None) -> Checked:
    begins = inspect.getsourcelines(part)[1]
    with checks_of(part) as (kind, cases):
        return _run(cases, name, kind, file, begins, progress)


def _checked_preset(file: Path, names: Sequence[str], progress: Callable[[str, int, int], None] | None) -> Checked:
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    if names:
        raise UsageError(f"{file} is a preset, and holds no parts to choose among: leave out {', '.join(names)}")
    return _run(list(preset_cases_of(file)), file.stem, "presets", file, 1, progress)


def _run(
    cases: Sequence[AnyCase], name: str, kind: str, file: Path, begins: int, progress: Callable[[str, int, int], None] | None
) -> Checked:
    passed, failures = 0, []
    for number, case in enumerate(cases):
        if progress is not None:
            progress(name, number, len(cases))
        try:
            case.run()
        except PartError as problem:
            cause = problem.__cause__
            line = None if cause is None else _line(cause.__traceback__, file)
            said = str(problem).partition(f"{file.resolve()}: ")[2] or str(problem)
            failures.append(Failure(str(case), begins if line is None else line, said))
        else:
            passed += 1
    if progress is not None:
        progress(name, len(cases), len(cases))
    return Checked(name, kind, begins, passed, tuple(failures))


def _line(trace: TracebackType | None, file: Path) -> int | None:
    """Return the line of the file that was being run last, if any was."""
    found = None
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file.resolve():
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
