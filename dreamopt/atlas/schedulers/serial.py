"""Tasks one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamopt.atlas.compute import compute
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.scheduler import Scheduler
from dreamopt.atlas.task import Outcome, Task


class Serial(Scheduler):
    """Runs tasks in this process."""

    def run(self, tasks: Sequence[Task], nets: NetFiles) -> Iterator[Outcome]:
        """Yield the outcome of each task in the order given."""
        for task in tasks:
            yield compute(task, nets)
