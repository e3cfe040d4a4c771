"""The graceful interrupt: Ctrl-C stops after the current step."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import click


@contextlib.contextmanager
def interruptible(remains: str = "with the best so far") -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C a graceful interrupt: yield a function that tells whether it was pressed; a second one interrupts at once.

    What ``remains`` is said.
    """
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        click.echo(f"\ndreamopt: stopping after this step, {remains} (Ctrl-C again: at once).", err=True)

    try:
        previous = signal.signal(signal.SIGINT, request)
    except ValueError:  # not the main thread: there Ctrl-C goes elsewhere anyway
        yield lambda: False
        return
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, previous)
