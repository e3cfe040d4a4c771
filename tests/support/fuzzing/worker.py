"""The process that reads mutated files: it is asked for one case after the other on its input, and answers each by a line of JSON.

What a reader may do is watched here from within; what ends or holds up the process is seen by `tests.support.fuzzing.harness`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, TextIO

from dreamopt.errors import LONGEST_MESSAGE, DreamoptError, DreamoptWarning
from tests.support.fuzzing.formats import mutate
from tests.support.fuzzing.samples import samples_of
from tests.support.readers import READERS
from tests.support.resident import peak

SECONDS = 20
"""The longest a file may be read."""
MEMORY = 2**30
"""The most bytes above those of the warm process that a file may take, if it is not 20 times the file."""
ADDRESS_SPACE = 4 * 2**30
"""What the process may ask for beyond what it has; above `MEMORY`, it protects the machine."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime"}
_PROGRAMS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "pty.spawn"}
PACKAGE = str(Path(__file__).parents[3] / "dreamopt")


def text_fault(text: str) -> str | None:
    """Return what is wrong with a message: it must be one line that a terminal shows, not too long and not empty."""
    if not text.strip():
        return "nothing is said"
    if len(text) > LONGEST_MESSAGE:
        return f"{len(text)} characters"
    shown = text.replace("\u200c", "").replace("\u200d", "")
    return (
        None
        if all(c.isprintable() or (c.isspace() and c not in "\n\r\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029") for c in shown)
        else "signs that control a terminal"
    )


class Watch:
    """What a reader did that it must not, by Python's audit events, while it is on."""

    def __init__(self, scratch: Path) -> None:
        self.faults: list[str] = []
        self.on = False
        self._scratch = os.path.realpath(scratch)
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int) and flags & _WRITES and not self._inside(path):
                self.faults.append(f"write: opened {path!r} with flags {flags:#x}, mode {mode}")
        elif event in _CHANGES:
            for path in arguments[:2]:
                if isinstance(path, str | bytes) and not self._inside(path):
                    self.faults.append(f"write: {event} {path!r}")
        elif event in _PROGRAMS or (event == "subprocess.Popen" and arguments[0] != sys.executable):
            self.faults.append(f"program: {event} {arguments!r}")

    def _inside(self, path: str | bytes) -> bool:
        return os.path.realpath(os.fsdecode(path)).startswith(self._scratch + os.sep) or os.fsdecode(path) == os.devnull


class Cases:
    """The readers with their samples in a scratch folder, made when they are first asked for."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._known: dict[str, tuple[Path, list[bytes]]] = {}

    def sample(self, name: str) -> tuple[Path, list[bytes]]:
        """Return a reader's sample, read once, with what there is to mutate."""
        if name not in self._known:
            folder = self._scratch / f"reader{len(self._known)}"
            folder.mkdir()
            path = READERS[name].make(folder)
            READERS[name].read(path)
            self._known[name] = path, samples_of(name, path)
        return self._known[name]

    def write(self, name: str, seed: int, number: int) -> Path:
        """Write a case's file beside the sample; the same seed and number give the same file."""
        path, samples = self.sample(name)
        rng = random.Random(f"{seed} {name} {number}")
        stem, dot, suffix = path.name.partition(".")
        changed = path.with_name(f"{stem}-changed{dot}{suffix}")
        changed.write_bytes(mutate(name, samples, rng))
        return changed


def read(name: str, path: Path, watch: Watch, printed: TextIO) -> dict[str, Any]:
    """Read one file, and return how that ended: ``result``, ``fault`` if it is one, ``where``, ``text``."""
    answer: dict[str, Any] = {"result": "read"}
    faults: list[str] = watch.faults
    faults.clear()
    before, start = printed.seek(0, os.SEEK_END), time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch.on = True
        try:
            READERS[name].read(path)
        except DreamoptError as error:
            answer |= {"result": "refused", "text": f"{type(error).__name__}: {error}"}
            if wrong := text_fault(str(error)):
                faults.append(f"message: {wrong}")
        except BaseException as error:
            answer |= {"result": "failed", "where": _where(error), "trace": traceback.format_exc()[-4000:]}
            faults.append(f"traceback: {type(error).__name__}")
            with contextlib.suppress(Exception):
                answer["text"] = f"{type(error).__name__}: {error}"[:500]
        finally:
            watch.on = False
    answer["seconds"] = round(time.monotonic() - start, 3)
    for warning in caught:
        if not issubclass(warning.category, DreamoptWarning):
            faults.append(f"warning: {warning.category.__name__} {str(warning.message)[:200]}")
        elif wrong := text_fault(str(warning.message)):
            faults.append(f"message: warning of {wrong}")
    sys.stdout.flush()
    sys.stderr.flush()
    if printed.seek(0, os.SEEK_END) > before:
        printed.seek(before)
        faults.append(f"printed: {printed.read()[:200]!r}")
    return answer | ({"faults": list(faults)} if faults else {})


def _where(error: BaseException) -> str:
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename.startswith(PACKAGE) or "objectives" in f.filename or "regularizers" in f.filename
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "outside the package"


def _peak() -> int:
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return max(peak(), children)


def _resident() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return _peak()


def _limit_memory() -> None:
    with contextlib.suppress(OSError, ValueError):
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE, resource.RLIM_INFINITY))


def main(scratch: Path) -> None:
    """Answer cases until the input ends: lines of JSON with ``reader`` and either ``seed`` and ``number``, or ``path``."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    printed = open(scratch / "printed", "w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # for as long as the process runs
    stacks = open(scratch / "stacks", "w", encoding="utf-8")  # noqa: SIM115  # likewise
    os.dup2(printed.fileno(), 1)
    os.dup2(printed.fileno(), 2)
    faulthandler.enable(stacks)
    os.chdir(scratch)
    cases, watch, warm = Cases(scratch), Watch(scratch), 0
    for name in sys.argv[2:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases.sample(name)
    _limit_memory()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    warm, most = _resident(), _peak()
    for line in sys.stdin:
        case = json.loads(line)
        path = Path(case["path"]) if "path" in case else cases.write(case["reader"], case["seed"], case["number"])
        faulthandler.dump_traceback_later(SECONDS - 2, file=stacks)
        answer = read(case["reader"], path, watch, printed)
        faulthandler.cancel_dump_traceback_later()
        before, most = most, _peak()
        if most > before and most - warm > max(MEMORY, 20 * path.stat().st_size):
            answer.setdefault("faults", []).append(f"memory: {(most - warm) / 2**20:.0f} MiB")
            answer["spent"] = True
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
