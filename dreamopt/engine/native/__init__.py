"""Kernels in C++ for the executor's hot path on a CPU, built with the package where there is a compiler.

Nothing depends on them: `library` is None where they were not built, and the executor then takes torch's operators.
"""

from dreamopt.engine.native.library import call, library

__all__ = ["call", "library"]
