"""What a process of a cluster does with a task: it opens the net by its hashes, shows that it lives, and computes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dreamopt.errors import BackendError
from dreamopt.parts import threads
from dreamopt.version import __version__

if TYPE_CHECKING:  # an order brings what it needs of these
    from dreamopt.atlas.net_files import NetFiles
    from dreamopt.atlas.task import Outcome, Task

Message = dict[str, Any]
Send = Callable[[Message], None]

BEAT = 20.0
"""Seconds between two signs of life of a task: well below the minute after which somebody would ask."""
PATIENCE = 120.0
"""Seconds without a piece of a file that was asked for, after which the asking ends."""
PIECE = 2**24
"""Bytes of a file in one message."""


def versions() -> dict[str, str]:
    """Return what must be the same in all processes, by name."""
    return {"Python": ".".join(map(str, sys.version_info[:2])), "dreamopt": __version__}


@dataclass(frozen=True)
class Order:
    """What goes to a process of the cluster, by pickle.

    Parameters
    ----------
    task : Task
        What to compute.
    nets : NetFiles
        What opens the net; files that are not there are asked for.
    compute : callable
        Makes the outcome, as `dreamopt.atlas.compute.compute`.
    threads : int, optional
        For each pass; by default as the process was started.
    versions : mapping
        As of `versions`, where the order comes from.
    """

    task: Task
    nets: NetFiles
    compute: Callable[[Any, Any], Outcome]
    threads: int | None
    versions: Mapping[str, str]


def carry_out(order: Order, key: str, address: str, send: Send) -> Outcome:
    """Compute an order's task in this process.

    Parameters
    ----------
    order : Order
        What to compute.
    key : str
        By which the cluster knows the task.
    address : str
        Of this process, to which files are sent.
    send : callable
        Sends a message to who ordered.

    Raises
    ------
    BackendError
        For versions that differ.
    UsageError
        For a net that cannot be opened here.
    """
    own = versions()
    for name, wanted in order.versions.items():
        if own[name] != wanted:
            raise BackendError(f"the worker {address} has {name} {own[name]}, and the atlas is made with {wanted}: install the same there")
    if order.threads is not None:
        threads.take(order.threads)
    with SignsOfLife(lambda: send({"beat": key, "worker": address})):
        nets = order.nets.fetching(lambda sha256: ARRIVALS.fetch(sha256, lambda: send({"fetch": sha256, "worker": address})))
        nets.network()  # here its errors are this process's, not those of a unit
        return order.compute(order.task, nets)


class SignsOfLife:
    """Calls a function every `BEAT` seconds while the ``with`` block runs, from the start on."""

    def __init__(self, send: Callable[[], None], every: float = BEAT) -> None:
        self._send, self._every = send, every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        self._send()
        while not self._ended.wait(self._every):
            self._send()


class Arrivals:
    """Files that come to this process in pieces."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._pieces: dict[str, bytearray] = {}
        self._whole: dict[str, bytes | str] = {}

    def fetch(self, sha256: str, ask: Callable[[], None], patience: float = PATIENCE) -> bytes:
        """Return a file's content, which somebody sends by `receive` once it is asked for.

        Raises
        ------
        BackendError
            Where nothing comes for some time, or the sender says that it cannot be sent.
        """
        with self._news:
            self._pieces[sha256] = bytearray()
            self._whole.pop(sha256, None)
        ask()
        with self._news:
            while sha256 not in self._whole:
                if not self._news.wait(patience):
                    raise BackendError(f"a file of the net was asked for, and for {patience:g} seconds nothing came")
            del self._pieces[sha256]
            content = self._whole.pop(sha256)
        if isinstance(content, str):
            raise BackendError(content)
        return content

    def receive(self, sha256: str, start: int, piece: bytes, total: int) -> None:
        """Take a piece of a file that was asked for; others, and what does not follow on the last one, are left."""
        with self._news:
            so_far = self._pieces.get(sha256)
            if so_far is not None and len(so_far) == start:
                so_far += piece
                if len(so_far) == total:
                    self._whole[sha256] = bytes(so_far)
            self._news.notify_all()

    def refuse(self, sha256: str, reason: str) -> None:
        """End the waiting for a file that cannot be sent."""
        with self._news:
            self._whole[sha256] = reason
            self._news.notify_all()


ARRIVALS = Arrivals()
"""Those of this process."""


def receive(sha256: str, start: int, piece: bytes, total: int) -> None:
    """Take a piece of a file in this process."""
    ARRIVALS.receive(sha256, start, piece, total)


def refuse(sha256: str, reason: str) -> None:
    """Say in this process that a file cannot be sent."""
    ARRIVALS.refuse(sha256, reason)
