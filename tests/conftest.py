"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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
        missing(f"no reference nets at {folder}: set DREAMOPT_SHARED")
    return folder
