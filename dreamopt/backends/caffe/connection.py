"""How the Caffe backend reaches the program that runs Caffe, `dreamopt.backends.caffe.worker`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from dreamopt.backends.caffe import worker as caffe_worker
from dreamopt.errors import BackendError, WeightsError

Array = npt.NDArray[Any]
Header = Mapping[str, Any]
Answer = tuple[dict[str, Any], list[Array]]
PART = 16 * 2**20
"""Bytes of a weights file that are sent at a time."""


class WorkerLostError(Exception):
    """The worker went away for no fault of the request: killed, or hanging. The request may be asked again."""


class CaffeConnection(Protocol):
    """A way to ask the worker."""

    @property
    def name(self) -> str:
        """The backend's name in `load_net`."""

    @property
    def where(self) -> str:
        """What tells a reader which Python it is."""

    @property
    def shares_files(self) -> bool:
        """Whether a path means the same file there as here."""

    @property
    def generation(self) -> int:
        """Number of workers started so far; a new one has nothing of what the last one was sent. Starts one if none runs.

        Raises
        ------
        BackendError
            If none can be started.
        """

    @property
    def hello(self) -> Mapping[str, Any]:
        """What the worker said of itself: version, python, numpy, gpu."""

    def ask(self, header: Header, arrays: Sequence[Array] = ()) -> Answer:
        """Ask, and return the answer's header and arrays; the arrays may be views of Caffe's own memory.

        Raises
        ------
        WorkerLostError
            If it may be asked again.
        BackendError
            If Caffe refused, raised, or aborted: that would come again.
        """

    def close(self) -> None:
        """End the worker."""


class CaffeAbortedError(BackendError):
    """Caffe aborted on a failed check, in the words that it gave, and in the layer that it was at, where that is known."""

    def __init__(self, message: str, layer: str = "") -> None:
        super().__init__(message)
        self.layer = layer

    def at(self, place: str) -> CaffeAbortedError:
        """Return the same error with the layer's place in the user's file."""
        return CaffeAbortedError(f"{place}: {self}" if place and not str(self).startswith(place) else str(self), self.layer)


class WorkerApi(Protocol):
    """`dreamopt.backends.caffe.worker.Worker` as seen from here."""

    subnets: dict[str, Any]
    base: Any

    def answer(self, header: Header, arrays: Sequence[Array]) -> Answer:
        """Answer a request."""


def worker(caffe: ModuleType) -> WorkerApi:
    """Return a worker in this process."""
    api: WorkerApi = caffe_worker.Worker(caffe)  # type: ignore[no-untyped-call]
    return api


def pack(header: Header, arrays: Sequence[Array]) -> list[bytes]:
    """Return the parts of a message."""
    parts: list[bytes] = caffe_worker.pack(header, arrays)  # type: ignore[no-untyped-call]
    return parts


def unpack(head: bytearray, payload: bytearray) -> Answer:
    """Return the header and the arrays of a message's two frames."""
    answer: Answer = caffe_worker.unpack(head, payload)  # type: ignore[no-untyped-call]
    return answer


def raise_for(kind: str, message: str, where: str) -> NoReturn:
    """Raise the error that an answer of this kind stands for."""
    if kind == "weights":
        raise WeightsError(f"{message} ({where})")
    if kind == "import":
        raise BackendError(f"{where} has no Caffe that can be imported: {message}")
    raise BackendError(f"{where}: {message}")


def as_float32(array: Any) -> Array:
    """Return an array as Caffe takes it."""
    return np.asarray(array, dtype=np.float32, order="C")  # ascontiguousarray makes a single number an array of one
