"""Build the native kernels: one module for each kind of processor. All else about the package stands in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("dreamopt/engine/native/src")
KINDS = {"avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"], "avx2": ["-march=x86-64-v3"], "any": []}
# Only some of them, by name with commas between, where time matters more than speed.
CHOSEN = os.environ.get("DREAMOPT_NATIVE_KINDS", ",".join(KINDS)).split(",")
COMPILE = ["-std=c++17", "-O3", "-fopenmp", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]

setup(
    options={"build_ext": {"parallel": len(CHOSEN)}},
    ext_modules=[
        Extension(
            f"dreamopt.engine.native._{kind}",
            [str(SOURCES / f"{kind}.cpp")],
            depends=sorted(str(path) for path in SOURCES.glob("*.h")),
            language="c++",
            extra_compile_args=[*flags, *COMPILE],
            extra_link_args=["-fopenmp"],
            optional=True,  # no compiler, or one that does not know such processors: torch's operators do the work
        )
        for kind, flags in KINDS.items()
        if kind in CHOSEN
    ],
)
