"""The oracle: a running Caffe 1.0."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NO_CAFFE, REPOSITORY, missing
from tests.support.oracle.compare import WORST, note
from tests.support.oracle.harness import Oracle


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the oracle."""
    for item in items:
        if "oracle" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.oracle)


def caffe_root() -> Path:
    """Return the folder with real Caffe: named by DREAMOPT_CAFFE_ROOT, else .caffe-root beside or in the repository."""
    named = os.environ.get("DREAMOPT_CAFFE_ROOT")
    places = [Path(named)] if named else [REPOSITORY.parent / ".caffe-root", REPOSITORY / ".caffe-root"]
    root = next((p for p in places if (p / "usr/bin/python3").exists()), None)
    if root is None:
        missing(f"tests that {NO_CAFFE}: there is none at {' or '.join(map(str, places))}, set DREAMOPT_CAFFE_ROOT")
    assert root is not None
    if os.geteuid() != 0:
        missing(f"tests that {NO_CAFFE}: it stands in a root to chroot into, which takes the superuser")
    return root


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Real Caffe."""
    asked = Oracle(caffe_root())
    yield asked
    asked.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist, send the worst errors to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["worst"] = {what: float(error) for what, error in WORST.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the worst errors of a worker."""
    for what, error in getattr(node, "workeroutput", {}).get("worst", {}).items():
        note(what, error)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the worst errors met."""
    if WORST:
        terminalreporter.section("worst relative errors in norm against real Caffe")
        for what, error in sorted(WORST.items()):
            terminalreporter.write_line(f"{error:.1e}  {what}")
