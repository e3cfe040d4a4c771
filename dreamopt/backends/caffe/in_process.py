"""Real Caffe in this Python: the only module here that imports it.

An ``abort()`` of Caffe's ends this process; ``backend="remote", python=sys.executable`` runs the same Caffe in a process
of its own, where that is an exception.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType

from dreamopt.backends.caffe.connection import Answer, Array, Header, raise_for, worker
from dreamopt.backends.caffe.worker import RefusedError
from dreamopt.errors import BackendError, DreamoptError
from dreamopt.parts.importing import import_failure

_PROBE = "import sys; sys.path[:] = filter(None, sys.path); import caffe; caffe.set_mode_gpu(); caffe.set_device({})"
"""Without the current folder (""), which this process may not look into for modules either."""


class InProcess:
    """The worker, called as a function.

    Parameters
    ----------
    device : int or str
        A GPU's number, ``"cpu"`` or ``"auto"``.
    caffe : module, optional
        What has pycaffe's face; default: ``import caffe``.

    Raises
    ------
    BackendError
        If there is no Caffe here, or not one that can do this.
    """

    name = "pycaffe"
    where = "this Python"
    shares_files = True
    generation = 1

    def __init__(self, device: int | str, caffe: ModuleType | None = None) -> None:
        if caffe is None:
            caffe = _import()
        if device != "cpu":
            device = _device(device)
        self._worker = worker(caffe)
        self.hello, _ = self.ask({"op": "hello", "device": device, "trust": True})

    def ask(self, header: Header, arrays: Sequence[Array] = ()) -> Answer:
        """Let Caffe do it."""
        try:
            return self._worker.answer(header, arrays)
        except RefusedError as problem:
            raise_for(problem.kind, str(problem), self.where)
        except DreamoptError:
            raise
        except Exception as problem:
            raise BackendError(f"Caffe in {self.where} raised {type(problem).__name__}: {problem}") from problem

    def close(self) -> None:
        """Let go of the nets."""
        self._worker.subnets.clear()
        self._worker.base = None


def _import() -> ModuleType:
    # Caffe's log repeats a net's names as they are, escape sequences too, on the terminal.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        import caffe
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # built for another numpy or protobuf it raises anything
        raise BackendError(
            f"this Python ({sys.executable}) has no Caffe that can be imported ({import_failure(problem)}); "
            "use backend='remote' with python='COMMAND' for one that has, or backend='engine'"
        ) from problem
    module: ModuleType = caffe
    return module


def _device(device: int | str) -> int | str:
    # Where there is no GPU, or no build for it, Caffe aborts: only another process may try.
    index = 0 if device == "auto" else int(device)
    tried = subprocess.run([sys.executable, "-c", _PROBE.format(index)], capture_output=True, check=False)
    if tried.returncode == 0:
        return index
    if device == "auto":
        return "cpu"
    raise BackendError(f"device 'cuda:{index}': the Caffe of this Python was not built for GPUs, or there is none of that number")
