"""The suite started as a shell's background job, where SIGINT is ignored: Ctrl-C reaches the tests and their children all the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

IGNORES = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
ASKS = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ASKS!r}], check=True)"


def answers(program: str) -> list[str]:
    """What a program prints that starts with SIGINT ignored."""
    command = [sys.executable, "-c", IGNORES, "-c", program]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout.split()


@pytest.mark.skipif(os.name != "posix", reason="ignored signals are handed on by POSIX's exec")
def test_sigint_that_is_ignored_is_the_default_again_in_the_tests_and_their_children() -> None:
    assert answers(f"{ASKS}; {CHILD}") == ["False", "False"]
    assert answers(f"import tests.conftest; {ASKS}; {CHILD}") == ["True", "True"]
