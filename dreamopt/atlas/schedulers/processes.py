"""The worker processes of a cluster on this machine: each a Python of its own, with its share of the cores or a GPU."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from dreamopt.parts.child_environment import child_environment
from dreamopt.parts.threads import cores

_ORPHANED = 30  # seconds after which a worker without a scheduler ends


def threads_of_each(workers: int, environ: Mapping[str, str] | None = None) -> int:
    """Return how many threads each worker takes: ``OMP_NUM_THREADS`` where it is said, else its share of the cores.

    Examples
    --------
    >>> threads_of_each(4, {"OMP_NUM_THREADS": "2"})
    2
    """
    said = (os.environ if environ is None else environ).get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else max(1, cores() // workers)


def commands(address: str, workers: int, folder: str, options: Sequence[str] = (), gpus: int = 0) -> list[tuple[list[str], dict[str, str]]]:
    """Return the commands that start workers, and what each changes in the environment: one for all; with GPUs one for each worker.

    Parameters
    ----------
    address : str
        Of the scheduler.
    workers : int
        How many.
    folder : str
        For their temporary files.
    options : sequence of str
        Further ones.
    gpus : int
        How many GPUs the machine has; a worker sees one.
    """
    # -P: no file of the folder that a user is in stands for a module.
    start = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    start += ["--death-timeout", str(_ORPHANED), "--local-directory", folder, "--host", "127.0.0.1", *options]
    if not gpus:
        return [([*start, "--nworkers", str(workers)], {})]
    return [([*start, "--nworkers", "1", "--resources", "GPU=1"], {"CUDA_VISIBLE_DEVICES": str(k % gpus)}) for k in range(workers)]


class WorkerProcesses:
    """Processes that were started, until they are closed.

    Parameters
    ----------
    started : sequence of (list of str, dict)
        As of `commands`.
    threads : int
        Of each worker.
    """

    def __init__(self, started: Sequence[tuple[list[str], dict[str, str]]], threads: int) -> None:
        shared = child_environment(threads)
        nothing = subprocess.DEVNULL
        self._processes = [
            # A group of its own: Ctrl-C in a terminal is for the process that asks, which then ends these.
            subprocess.Popen(command, env={**shared, **change}, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
            for command, change in started
        ]

    def ended(self) -> int | None:
        """Return the exit status of a process that has ended by itself; None while all run."""
        return next((status for process in self._processes if (status := process.poll()) is not None), None)

    def close(self) -> None:
        """End them and what they started, in the middle of what they do."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                # The whole group: a worker must not stay behind its nanny.
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()
