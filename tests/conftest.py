"""Fixtures for all tests, which tests run, and one closing line on those that did not."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# One thread: the tests' arrays are small, and idle threads that spin would take as much of the machine as those that work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Shells start background jobs with SIGINT ignored, and so would every child be: tests of Ctrl-C would wait forever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
SLOW = "take long"
NO_CAFFE = "ask real Caffe"
NO_SHARED = "need the reference nets"
REMEDIES = {
    SLOW: "make test-all",
    NO_CAFFE: "build a root with it as in CONTRIBUTING.md, The oracle, and set DREAMOPT_CAFFE_ROOT",
    NO_SHARED: "set DREAMOPT_SHARED to their folder",
}
DEAREST = ("integration", "oracle")
"""Folders that come first, so that no long file of theirs is begun when the other processes have nothing left to do."""
_left_out: Counter[str] = Counter()


def missing(reason: str) -> None:
    """Skip the test with a reason; in CI, where nothing may be missing, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference nets and models, beside the repository or named by DREAMOPT_SHARED."""
    named = os.environ.get("DREAMOPT_SHARED")
    folder = Path(named) if named else REPOSITORY.parent / "shared"
    if not folder.is_dir():
        missing(f"tests that {NO_SHARED}: there are none at {folder}, set DREAMOPT_SHARED")
    return folder


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """Give back the number of threads, which a command's --threads changes for the whole process and images' metadata say."""
    named = os.environ["OMP_NUM_THREADS"]
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else int(named)
    yield
    os.environ["OMP_NUM_THREADS"] = named
    if "torch" in sys.modules and sys.modules["torch"].get_num_threads() != before:
        sys.modules["torch"].set_num_threads(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --slow."""
    parser.addoption("--slow", action="store_true", help="run the tests that take long, too, as CI does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files whose tests take longest, and leave out what takes long, unless it was asked for by --slow, by name, or by CI."""
    items.sort(key=lambda item: next((i for i, room in enumerate(DEAREST) if room in item.path.parts), len(DEAREST)))
    named = any("::" in argument for argument in config.args)
    if config.getoption("--slow") or os.environ.get("CI") or named:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        _left_out[SLOW] += len(slow)


def pytest_collection_finish() -> None:
    """Let the collector pass over what is there to stay: torch, and 20,000 tests."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist, send what was not collected to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = _left_out[SLOW]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker did not collect, which is the same in each; what was skipped comes in the tests' reports."""
    _left_out[SLOW] = max(_left_out[SLOW], getattr(node, "workeroutput", {}).get("left_out", 0))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what was skipped, by its cause."""
    if report.skipped and isinstance(report.longrepr, tuple):
        text = report.longrepr[2]
        _left_out[next((cause for cause in (NO_CAFFE, NO_SHARED) if cause in text), text.removeprefix("Skipped: "))] += 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in one closing line what was not tested, and how to get it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not +_left_out or config.option.collectonly:
        return
    parts = [
        f"{count} that {cause} ({REMEDIES[cause]})" if cause in REMEDIES else f"{count} ({cause})"
        for cause, count in (+_left_out).most_common()
    ]
    reporter.write_line(f"Tests that did not run: {'; '.join(parts)}.")
