"""What runs the tasks of an atlas: one contract for this process and for a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.task import Outcome, Task


class Scheduler(ABC):
    """Runs tasks; a context manager.

    Every scheduler gives the same bytes for the same tasks and the same number of threads.
    """

    @abstractmethod
    def run(self, tasks: Sequence[Task], nets: NetFiles) -> Iterator[Outcome]:
        """Yield the outcome of each task as it completes, in any order; closing the iterator stops the work at once.

        Parameters
        ----------
        tasks : sequence of Task
            Largest first. None needs another.
        nets : NetFiles
            What opens the net, here or on another machine.
        """

    def close(self) -> None:  # noqa: B027  # most have nothing to end
        """End what was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
