"""A small study as a program: ``python -m tests.support.study_program FOLDER LOG PROCESSES [held]``; it is killed, and goes on where it was.

One that is held does not make its last runs, so that it cannot end before it is killed, however busy the machine is.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dreamopt.study.folder import StudyFolder
from dreamopt.study.request import Request
from dreamopt.study.run import Row
from dreamopt.study.runner import RunDone, execute_runs
from dreamopt.study.workers.choice import staffed
from tests.support.study_runs import networks, request_of, score_runs


def killed_request() -> Request:
    """Return the study: 12 runs."""
    from dreamopt.study.budget import Budget

    return request_of(seeds=2, budget=Budget(40))


def make(folder: Path, log: Path, processes: int, held: bool = False) -> list[Row]:
    """Make the study, and write the key of each run that was made to a log."""
    request = killed_request()
    runs = score_runs(request)
    number = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def watch(event: RunDone) -> None:
        if not event.read:
            os.write(number, f"{event.row.key}\n".encode())

    with StudyFolder(folder, request) as place, staffed(runs[0], len(runs), networks(), place, processes) as staff:
        rows = execute_runs(runs[:6], staff.workers, place, watch=watch)
        rows += execute_runs(runs[6:10], staff.workers, place, watch=watch)
        while held:
            time.sleep(0.01)
        rows += execute_runs(runs[10:], staff.workers, place, watch=watch)
    os.close(number)
    return rows


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), held=sys.argv[4:] == ["held"])
