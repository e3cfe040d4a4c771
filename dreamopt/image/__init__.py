"""Parametrizations (which numbers are searched), random transforms of what the net sees, image files and contact sheets."""

from dreamopt.parts.lazy import LazyNames

NAMES = LazyNames(
    __name__,
    parts=("dreamopt.image.parametrization:parametrizations", "dreamopt.image.transform:transforms"),
    others={"Parametrization": "dreamopt.image.parametrization", "Transform": "dreamopt.image.transform"},
)
__getattr__, __dir__ = NAMES.get, NAMES.names
