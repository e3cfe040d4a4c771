"""The only door to Dask: a connection to a cluster, and what its workers call.

Workers, and the scheduler that passes their orders on, import this module; what computes is imported by the workers alone, when they
carry out an order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dreamopt.errors import BackendError, UsageError

TOPIC = "dreamopt-atlas"
"""Of the events by which workers talk to who ordered."""


class LostError(ConnectionError):
    """The scheduler, or what it held, is not there any more."""


@dataclass(frozen=True)
class Workers:
    """What a cluster has now.

    Parameters
    ----------
    slots : int
        Tasks that can run at once.
    resources : mapping of str to float
        The most of each resource that a worker declares.
    memory : int or None
        Bytes of the largest worker, as far as it says.
    """

    slots: int = 0
    resources: Mapping[str, float] | None = None
    memory: int | None = None


@dataclass(frozen=True)
class News:
    """What came of an order: a value or an error; or, without a key, a message of a worker."""

    key: str = ""
    value: Any = None
    error: BaseException | None = None


def work(order: bytes) -> Any:
    """Carry out an order in a worker; what it gave is pickled by Dask."""
    from distributed import get_worker

    from dreamopt.atlas.schedulers.at_work import carry_out

    worker = get_worker()
    return carry_out(pickle.loads(order), worker.get_current_task(), worker.address, lambda message: worker.log_event(TOPIC, message))


class Connection:
    """A client of a scheduler; on request with a scheduler and workers of its own.

    Parameters
    ----------
    address : str
        Of the scheduler; "" for one of its own.
    workers, threads : int
        Of its own processes, and the threads of each.
    patience : float
        Seconds that the scheduler has for an answer.

    Raises
    ------
    UsageError
        Where Dask is not installed.
    BackendError
        Where no scheduler answers, or where what is installed there does not fit.
    """

    def __init__(self, address: str = "", workers: int = 0, threads: int = 1, patience: float = 10.0) -> None:
        self.news: SimpleQueue[News] = SimpleQueue()
        self._cluster: Any = None
        self._processes: Any = None
        self._folder = ""
        self._futures: dict[str, Any] = {}
        self._client: Any = None
        distributed = _distributed()
        security = None
        with quiet():
            try:
                if not address:
                    security, options = self._own_keys(distributed)
                    self._cluster = _scheduler(distributed, security)
                    address = self._cluster.scheduler_address
                    self._start_workers(address, workers, threads, options)
                self._client = distributed.Client(address, security=security, timeout=patience, set_as_default=False)
                self._client.subscribe_topic(TOPIC, lambda event: self.news.put(News(value=event[1])))
            except (OSError, ValueError) as problem:
                self.close()
                raise BackendError(f"no scheduler of Dask answers at {address or 'this machine'}: {problem}") from problem
            except BaseException:
                self.close()
                raise

    @property
    def stands(self) -> bool:
        """Whether the scheduler is there, as far as is known; raises BackendError where all own processes are gone."""
        status = None if self._processes is None else self._processes.ended()
        if status is not None:
            raise BackendError(f"the worker processes of this machine ended with status {status}")
        return bool(self._client.status == "running")

    def workers(self) -> Workers:
        """Return what the cluster has now; an OSError where the scheduler is lost."""
        found = self._client.scheduler_info(n_workers=-1)["workers"].values()
        most: dict[str, float] = {}
        for worker in found:
            for name, amount in worker["resources"].items():
                most[name] = max(amount, most.get(name, 0.0))
        limits = [worker["memory_limit"] for worker in found if worker["memory_limit"]]
        return Workers(sum(worker["nthreads"] for worker in found), most, max(limits, default=None))

    def versions(self) -> dict[str, dict[str, str]]:
        """Return what is installed at the scheduler and the workers: by address, versions of Python, dreamopt and torch; "" for none."""
        found = self._client.get_versions(packages=["dreamopt", "torch"])
        nodes = {"the scheduler": found["scheduler"], **{f"the worker {address}": node for address, node in found["workers"].items()}}
        return {name: {"Python": node["host"]["python"]} | _packages(node) for name, node in nodes.items() if node}

    def submit(self, key: str, order: object, resources: Mapping[str, float]) -> None:
        """Give an order away; what comes of it is put into `news` under its key."""
        # As bytes: the scheduler, which passes it on, needs not understand it.
        future = self._client.submit(work, pickle.dumps(order), key=key, resources=dict(resources) or None, pure=False)
        self._futures[key] = future
        self._in_loop(self._follow(key, future))

    def forget(self, key: str) -> None:
        """Let the scheduler drop the result of an order."""
        future = self._futures.pop(key, None)
        if future is not None:
            future.release()

    def cancel(self) -> None:
        """Take back all orders; what runs on other machines ends with its task."""
        futures, self._futures = self._futures, {}
        with contextlib.suppress(Exception):  # a scheduler that is lost has none
            self._client.cancel(list(futures.values()), force=True)

    def send(self, worker: str, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in a worker, past the queue of tasks; nothing comes of it where the worker has gone."""
        with contextlib.suppress(Exception):
            self._client.run(function, *arguments, workers=[worker], on_error="ignore")

    def is_killed(self, error: BaseException) -> bool:
        """Return whether an error says that a task's workers died."""
        return isinstance(error, _distributed().scheduler.KilledWorker)

    def close(self) -> None:
        """End the connection, and what it started."""
        with quiet():
            if self._processes is not None:
                self._processes.close()
            for part in (self._client, self._cluster):
                if part is not None:
                    with contextlib.suppress(Exception):
                        part.close(timeout=2)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _follow(self, key: str, future: Any) -> None:
        try:
            self.news.put(News(key, value=await future))
        except BaseException as problem:  # it belongs to the thread that asks
            # An error of the task itself is the future's state; any other is the connection's, whatever Dask calls it.
            error = problem if future.status == "error" else LostError(str(problem) or type(problem).__name__)
            self.news.put(News(key, error=error))

    def _in_loop(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._client.loop.asyncio_loop)

    def _own_keys(self, distributed: Any) -> tuple[Any, list[str]]:
        """Return keys that only this process's workers have, so that no other user of the machine gives them orders."""
        self._folder = tempfile.mkdtemp(prefix="dreamopt-")  # readable by this user alone
        try:
            security = distributed.Security.temporary()
        except ImportError as problem:
            raise UsageError("worker processes need cryptography beside Dask: pip install 'dreamopt[cluster]'") from problem
        options = []
        for option, content in (
            ("--tls-ca-file", security.tls_ca_file),
            ("--tls-cert", security.tls_worker_cert),
            ("--tls-key", security.tls_worker_key),
        ):
            path = Path(self._folder, option.removeprefix("--") + ".pem")
            path.write_text(content, encoding="ascii")
            options += [option, str(path)]
        return security, options

    def _start_workers(self, address: str, workers: int, threads: int, options: list[str]) -> None:
        import torch

        from dreamopt.atlas.schedulers.processes import WorkerProcesses, commands

        gpus = torch.cuda.device_count()
        self._processes = WorkerProcesses(commands(address, workers, self._folder, options, gpus), threads)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Dask's own reports of what it lost from the terminal: one sentence of ours says it."""
    names = ["distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed."))]
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _scheduler(distributed: Any, security: Any) -> Any:
    """Return a scheduler for processes of this machine, with no page to look at it.

    It listens for a browser all the same, in the clear: here on a port that nobody else has, and with no address to ask for.
    """
    import dask

    with dask.config.set({"distributed.scheduler.http.routes": []}):
        return distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        )


def _packages(node: Mapping[str, Any]) -> dict[str, str]:
    return {name: node["packages"].get(name) or "" for name in ("dreamopt", "torch")}


def _distributed() -> Any:
    try:
        import distributed
        import distributed.scheduler
    except ImportError as problem:
        raise UsageError("a cluster needs Dask: pip install 'dreamopt[cluster]'") from problem
    return distributed
