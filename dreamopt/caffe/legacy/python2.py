"""What scripts for Python 2 use of Python itself, as far as names go; the language is 2to3's work."""

from __future__ import annotations

import collections.abc
import functools
import itertools
import pickle
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any


def builtin_names(script: dict[str, Any]) -> dict[str, Any]:
    """Return the builtins that Python 3 lacks, for the script itself."""

    def execfile(path: str, scope: dict[str, Any] | None = None) -> None:
        with open(path, "rb") as stream:
            exec(compile(stream.read(), path, "exec"), script if scope is None else scope)

    return {
        **{"xrange": range, "raw_input": input, "unicode": str, "basestring": str, "long": int, "unichr": chr},
        **{"reduce": functools.reduce, "cmp": lambda a, b: (a > b) - (a < b), "execfile": execfile},
    }


_ABSTRACT = (
    *("Callable", "Container", "Hashable", "ItemsView", "Iterable", "Iterator", "KeysView", "Mapping", "MappingView", "MutableMapping"),
    *("MutableSequence", "MutableSet", "Sequence", "Set", "Sized", "ValuesView"),
)


def names_of(module: str) -> dict[str, Any]:
    """Return the names that a module of Python's had and lost, or had elsewhere."""
    return _NAMES[module]()


def _requests() -> dict[str, Any]:
    import urllib.parse
    import urllib.request

    requests = {name: getattr(urllib.request, name) for name in ("urlopen", "urlretrieve", "Request", "build_opener", "install_opener")}
    return requests | {name: getattr(urllib.parse, name) for name in ("quote", "quote_plus", "unquote", "unquote_plus", "urlencode")}


def _requests_and_errors() -> dict[str, Any]:
    import urllib.error

    return _requests() | {"URLError": urllib.error.URLError, "HTTPError": urllib.error.HTTPError}


def _pickle() -> dict[str, Any]:
    names = {name: getattr(pickle, name) for name in pickle.__all__}
    # Texts and arrays that Python 2 wrote are bytes.
    return names | {name: functools.partial(getattr(pickle, name), encoding="latin1") for name in ("load", "loads")}


_NAMES: dict[str, Callable[[], dict[str, Any]]] = {
    "sys": lambda: {"maxint": sys.maxsize},
    "itertools": lambda: {"izip": zip, "imap": map, "ifilter": filter, "izip_longest": itertools.zip_longest},
    "time": lambda: {"clock": time.perf_counter},
    "collections": lambda: {name: getattr(collections.abc, name) for name in _ABSTRACT},
    "urllib": _requests,
    "urllib2": _requests_and_errors,
    "cPickle": _pickle,
}


def translation(path: str) -> str:
    """Return the commands that translate a script for Python 2, as a shell takes them."""
    script = shlex.quote(path)
    return f"expand -t 8 {script} > script3.py && 2to3 -w -n -x import script3.py"


_ADVICE: tuple[tuple[type[Exception], str, str], ...] = (
    (TypeError, "and 'NoneType'", "Python 2 compared None with numbers: write `x is None` or `x is not None`"),
    (TypeError, "'NoneType' and", "Python 2 compared None with numbers: write `x is None` or `x is not None`"),
    (TypeError, "argument must be str, not bytes", "bytes go into a file that is opened with 'wb', and come out of one with 'rb'"),
    (TypeError, "cannot be interpreted as an integer", "Python 2 divided whole numbers to a whole number: write `a // b`"),
    (TypeError, "slice indices must be integers", "Python 2 divided whole numbers to a whole number: write `a // b`"),
    (IndexError, "only integers, slices", "Python 2 divided whole numbers to a whole number: write `a // b`"),
    (TypeError, "0-dimensional arrays can be converted", "numpy took an array of one element for a number: write `int(a.item())`"),
    (
        TypeError,
        "a bytes-like object is required, not 'str'",
        "a file opened with 'rb' or 'wb' holds bytes: text.encode()",
    ),
    (AttributeError, "object has no attribute 'iteritems'", "translate the script: 2to3 -w -n -x import SCRIPT"),
    (AttributeError, "object has no attribute 'has_key'", "translate the script: 2to3 -w -n -x import SCRIPT"),
    (ImportError, "attempted relative import", "translate the script's other modules with 2to3 -w -n -x import MODULE"),
)


def add_advice(error: BaseException) -> None:
    """Add a note to an error that scripts for Python 2 meet: what to write instead."""
    for kind, part, advice in _ADVICE:
        if isinstance(error, kind) and part in str(error):
            error.add_note(f"in a script for Python 2: {advice} (docs/pycaffe.md, From Python 2)")
            return
