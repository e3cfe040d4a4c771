"""What old pycaffe scripts use of other libraries, and today's versions lack: a function for each module that adds it."""

from __future__ import annotations

import builtins
import functools
import pickle
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from dreamopt.caffe.legacy import python2, skimage_names
from dreamopt.caffe.legacy.string_io import StringIO

Patch = Callable[[types.ModuleType], None]


def fill(module: types.ModuleType, names: Mapping[str, object]) -> None:
    """Give a module the names that it does not have."""
    for name, value in names.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy tells what a name may mean some day
            there = hasattr(module, name)
        if not there:
            setattr(module, name, value)


def numpy(module: types.ModuleType) -> None:
    """Add the names that NumPy 1.24 and 2.0 removed."""
    np: Any = module
    fill(module, {name: getattr(builtins, name) for name in ("float", "int", "bool", "object", "str", "complex")})
    fill(module, {"long": int, "unicode": str, "float_": np.float64, "complex_": np.complex128, "unicode_": np.str_, "string_": np.bytes_})
    fill(module, {"bool8": np.bool_, "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "NaN": np.nan})
    fill(module, {"product": np.prod, "cumproduct": np.cumprod, "sometrue": np.any, "alltrue": np.all, "round_": np.round, "rank": np.ndim})
    fill(module, {"in1d": lambda a, b, **options: np.isin(a, b, **options).ravel(), "row_stack": np.vstack, "asscalar": lambda a: a.item()})
    fill(module, {"trapz": getattr(np, "trapezoid", None), "msort": lambda a: np.sort(a, axis=0), "mat": np.asmatrix})


def pillow(module: types.ModuleType) -> None:
    """Add the names of filters that Pillow 10 removed."""
    of: Any = module
    fill(module, {"ANTIALIAS": of.Resampling.LANCZOS, "LINEAR": of.Resampling.BILINEAR, "CUBIC": of.Resampling.BICUBIC})


def misc(module: types.ModuleType) -> None:
    """Add what ``scipy.misc`` had of images, and of what is in `scipy.special` now."""
    from scipy import special

    from dreamopt.caffe.legacy import scipy_misc

    functions = ("bytescale", "toimage", "fromimage", "imread", "imsave", "imresize", "imrotate")
    fill(module, {name: getattr(scipy_misc, name) for name in functions})
    fill(module, {name: getattr(special, name) for name in ("comb", "factorial", "factorial2", "factorialk", "logsumexp")})


def ipython(module: types.ModuleType) -> None:
    """Show nothing, where there is no IPython."""
    module.__path__ = []


def ipython_display(module: types.ModuleType) -> None:
    """Take what is to be shown, and show nothing."""

    class Shown:
        def __init__(self, data: Any = None, *_: Any, **options: Any) -> None:
            self.data = data
            self.__dict__.update(options)

    names = ("Image", "HTML", "SVG", "Markdown", "Latex", "Javascript", "Video", "YouTubeVideo")
    fill(module, {name: type(name, (Shown,), {}) for name in names})
    fill(module, {"display": lambda *_, **__: None, "clear_output": lambda *_, **__: None})


def string_io(module: types.ModuleType) -> None:
    """Make ``cStringIO`` and ``StringIO``."""
    fill(module, {"StringIO": StringIO})


def six(module: types.ModuleType) -> None:
    """Make what scripts use of ``six``."""
    module.__path__ = []
    fill(module, {"PY2": False, "PY3": True, "string_types": (str,), "integer_types": (int,), "class_types": (type,), "text_type": str})
    fill(module, {"binary_type": bytes, "iteritems": lambda d, **k: iter(d.items(**k)), "iterkeys": lambda d, **k: iter(d.keys(**k))})
    fill(module, {"itervalues": lambda d, **k: iter(d.values(**k)), "b": lambda s: s.encode("latin-1"), "u": lambda s: s, "print_": print})
    fill(module, {"next": next, "unichr": chr, "int2byte": lambda i: bytes((i,)), "StringIO": StringIO})


def six_moves(module: types.ModuleType) -> None:
    """Make what scripts use of ``six.moves``."""
    fill(module, {"range": range, "xrange": range, "zip": zip, "map": map, "filter": filter, "input": input})
    fill(module, {"reduce": functools.reduce, "cPickle": pickle, "cStringIO": StringIO})


def _of_python(name: str) -> Patch:
    return lambda module: fill(module, python2.names_of(name))


PATCHES: dict[str, Patch] = {
    "numpy": numpy,
    "PIL.Image": pillow,
    "scipy.misc": misc,
    "skimage.io": skimage_names.io,
    "skimage.restoration": skimage_names.restoration,
    "skimage.transform": skimage_names.transform,
    "skimage.filters": skimage_names.filters,
    **{name: _of_python(name) for name in ("sys", "itertools", "time", "collections", "urllib")},
}
"""What is added to modules that are installed."""

STUBS: dict[str, Patch] = {
    "scipy.misc": misc,
    "skimage.filter": skimage_names.filter,
    "IPython": ipython,
    "IPython.display": ipython_display,
    "IPython.core": ipython,
    "IPython.core.display": ipython_display,
    "cStringIO": string_io,
    "StringIO": string_io,
    "cPickle": _of_python("cPickle"),
    "urllib2": _of_python("urllib2"),
    "six": six,
    "six.moves": six_moves,
}
"""Modules that are made where they are not installed, with the little that old scripts use of them."""
