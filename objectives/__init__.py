"""Objectives, one a file; the file's name is the objective's name in strings and on the command line."""

if __name__ != "dreamopt.objectives":
    # The folder also stands at the repository's top: imported from there, every class would exist a second time.
    raise ImportError(f"import this package as dreamopt.objectives, not as {__name__}")

from dreamopt.parts.lazy import LazyNames

NAMES = LazyNames(__name__, parts=("dreamopt.objective:objectives",))
__getattr__, __dir__ = NAMES.get, NAMES.names
