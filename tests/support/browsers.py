"""A headless browser that is installed, driven by playwright; playwright's own is never fetched."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import missing

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a webcam that shows a moving pattern
    "--use-fake-ui-for-media-stream",
)


def chromium() -> str:
    """Return the browser's program; without one the test is skipped, in CI it fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("tests that need a browser: install chromium")
    assert found is not None
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """Give a headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def page_of(opened: Any, *, width: int = 1280, height: int = 800, scheme: str = "light", allowed: tuple[str, ...] = ()) -> Iterator[Any]:
    """Give a page of a fresh context; what it says on its console, and every error, fails the test in the end, but for what is allowed."""
    context = opened.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True)
    context.set_default_timeout(90_000)  # milliseconds; a busy machine is no fault
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda problem: said.append(f"error: {problem}"))
    try:
        yield page
    finally:
        context.close()
    wrong = [text for text in said if not any(part in text for part in allowed)]
    assert not wrong, wrong


def until(page: Any, expression: str, seconds: float = 90.0) -> None:
    """Wait until a page's expression is true: playwright's own way is to evaluate a string in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(30)
