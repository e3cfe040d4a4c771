"""Checks of parts, for dreamopt's own and other people's: `check_part` runs all that a part's kind promises; no pytest is needed."""

from dreamopt.testing.bench import Bench, bench, fill, toy_network
from dreamopt.testing.cases import Case, cases, check_part, part_kinds, registries
from dreamopt.testing.files import Checked, Failure, check_file
from dreamopt.testing.kind import Kind, PartError, require

__all__ = [
    "Bench",
    "Case",
    "Checked",
    "Failure",
    "Kind",
    "PartError",
    "bench",
    "cases",
    "check_file",
    "check_part",
    "fill",
    "part_kinds",
    "registries",
    "require",
    "toy_network",
]
