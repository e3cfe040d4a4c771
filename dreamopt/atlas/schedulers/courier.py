"""Brings files of the net to workers that ask for them, beside the queue of tasks."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol, Self

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.schedulers import at_work
from dreamopt.errors import DreamoptError


class Sender(Protocol):
    """What calls a function in a worker."""

    def send(self, worker: str, function: Any, *arguments: object) -> None:
        """Call it."""


class Courier:
    """A thread that sends files in pieces; a context manager.

    Only files of the net are sent, by their hashes: a message of a worker names no path.

    Parameters
    ----------
    nets : NetFiles
        Has them.
    """

    def __init__(self, nets: NetFiles) -> None:
        self._nets = nets
        self._asked: SimpleQueue[tuple[str, str, Sender] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def take_message(self, message: Any, sender: Sender) -> None:
        """Take a message of a worker; others than those that ask for a file are left."""
        if isinstance(message, dict) and isinstance(message.get("fetch"), str) and isinstance(message.get("worker"), str):
            self._asked.put((message["fetch"], message["worker"], sender))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._asked.put(None)

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            sha256, worker, sender = asked
            try:
                content = self._nets.content(sha256)
            except DreamoptError as problem:
                sender.send(worker, at_work.refuse, sha256, str(problem))
                continue
            for start in range(0, max(1, len(content)), at_work.PIECE):
                sender.send(worker, at_work.receive, sha256, start, content[start : start + at_work.PIECE], len(content))
