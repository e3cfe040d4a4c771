"""Run as a program of its own by `dreamopt.study.workers.processes`: does tasks that come on standard input, and prints nothing.

It ends with its parent, however that ends: a thread waits for what comes next, and the end of the input is the end of the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

BEFORE = "DREAMOPT_PYTHONPATH_BEFORE"
"""The environment variable with the parent's own PYTHONPATH: what this process gets is not for the programs that it starts."""

if TYPE_CHECKING:
    from dreamopt.study.workers.tasks import Task


def main() -> None:
    """Answer tasks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends this process
    os.environ["PYTHONPATH"] = os.environ.pop(BEFORE, "")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a net or a plugin prints
    from dreamopt.study.workers.channel import receive, send

    arrived: SimpleQueue[Any] = SimpleQueue()

    def read() -> None:
        try:
            while True:
                arrived.put(receive(sys.stdin.buffer))
        except EOFError:
            os._exit(0)
        except BaseException:  # what pickle cannot read here: the parent shows the last line
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    maker = arrived.get().maker()
    while True:
        task: Task = arrived.get()
        try:
            reply: Any = task.do(maker)
        except Exception as problem:  # it belongs to the parent
            problem.add_note(f"in another process:\n{''.join(traceback.format_tb(problem.__traceback__))}")
            reply = problem
        try:
            send(replies, reply)
        except OSError:
            return
        except Exception as problem:  # an error that pickle cannot take
            send(replies, RuntimeError(f"{type(reply).__name__}: {reply} ({problem})"))


if __name__ == "__main__":
    main()
