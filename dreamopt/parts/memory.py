"""Memory: what is free on a device, refusing what would not fit before it is taken, and the errors of those who run out of it.

A machine may promise more memory than it has, and end the process when that is used. So what is large is compared with what is free
beforehand; what fails all the same is one error, whichever library or device it comes from.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from dreamopt.errors import OutOfMemoryError, UsageError
from dreamopt.parts.checks import Range, check_number, shown
from dreamopt.parts.limits import limit, variable

_RESERVES: list[Callable[[], None]] = []
_COLLECT_EVERY = 256 * 2**20
_made = 0
SMALL = 64 * 2**20
"""Bytes up to which nobody asks whether they are free."""
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(r"(?P<number>\d{1,18}(\.\d{0,9})?) ?((?P<unit>[kmgt])(?P<binary>i)?)?b?", re.IGNORECASE | re.ASCII)
_SIZES = Range(10**6, 10**15)
_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "ALLOC_FAILED",
    "Storage size calculation overflowed",
    "Unable to allocate",
)
_OF_ONEDNN = ("could not create a primitive", "could not create a memory object")
"""What oneDNN says where malloc fails; of what it does not know it says "a primitive descriptor"."""


def readable(count: float) -> str:
    """Write a number of bytes with three digits and a unit.

    >>> readable(3_600_000_000), readable(12)
    ('3.6 GB', '12 bytes')
    """
    for unit in _UNITS:
        if count < 999.5 or unit == _UNITS[-1]:
            return f"{count:.3g} {unit}" if count < 999.5 else f"{count:.3e} {unit}"
        count /= 1000
    raise AssertionError


def parse_bytes(text: str | float, what: str = "memory") -> int:
    """Return a number of bytes that a text says, as 1.2GB, 512MB, 900MiB or 1500000000; a number is bytes.

    ``kB``, ``MB``, ``GB`` and ``TB`` count by 1000, ``KiB``, ``MiB``, ``GiB`` and ``TiB`` by 1024. The ``B`` may be left out, and small
    letters are as good as capitals.

    Parameters
    ----------
    text : str or number
        From 1 MB to 1 PB.
    what : str
        Names it in the error.

    Raises
    ------
    UsageError
        For anything else.

    Examples
    --------
    >>> parse_bytes("1.2GB"), parse_bytes("512 MiB"), parse_bytes("2g")
    (1200000000, 536870912, 2000000000)
    """
    known = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if isinstance(text, str) and known is None:
        raise UsageError(f"{what} must be a number of bytes with a unit, as in 1.2GB or 512MiB, not {shown(text)}")
    if known is None:
        return int(check_number(what, text, _SIZES))
    power = "kmgt".index(known["unit"].lower()) + 1 if known["unit"] else 0
    count = float(known["number"]) * (1024 if known["binary"] else 1000) ** power
    if not _SIZES.holds(count, count):
        raise UsageError(f"{what} must be from 1 MB to 1 PB, not {shown(text)}")
    return int(count)


def used_memory(device: str = "cpu") -> int:
    """Return how many bytes of a device's memory this process has: of the machine's, its libraries among them; 0 where nobody says it."""
    if device.startswith("cuda"):
        import torch  # what asks about a GPU has loaded it

        return torch.cuda.memory_allocated(device)
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except (ImportError, OSError, ValueError, IndexError):
        return 0


def add_reserve(give_back: Callable[[], None]) -> None:
    """Let `release_memory` call a function that gives back memory kept for later."""
    _RESERVES.append(give_back)


def release_memory(reserves: bool = False) -> None:
    """Give back to the machine what the C library keeps of freed memory; where it cannot be asked to, nothing happens.

    Blocks of some megabytes, as those of tiles, leave gaps that grow with every step: glibc keeps them until it is asked.

    Parameters
    ----------
    reserves : bool
        Whether also what is kept for the next pass goes back, as behind a pass of images of another size.
    """
    for give_back in _RESERVES if reserves else ():
        give_back()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # the last: Windows has no library without a name
        ctypes.CDLL(None).malloc_trim(0)


def collect_before(count: int) -> None:
    """Collect the large objects that nobody refers to any more, such as nets, where much was made since the last time.

    Objects that refer to each other, as a net and its blobs do, stay until Python's collector looks for them, and it counts objects, not
    bytes: a loop over ten nets of 240 MB would keep them all.

    Parameters
    ----------
    count : int
        Bytes of what is about to be made. Every 256 MB, the collector runs once, which takes about a tenth of a second.
    """
    global _made
    _made += count
    if _made > _COLLECT_EVERY:
        _made = 0
        gc.collect()


def free_memory(device: str = "cpu") -> int | None:
    """Return how many bytes are free on a device, as far as anybody says: the machine, its containers, the process's own limit.

    Parameters
    ----------
    device : str
        As torch writes it: ``"cpu"``, ``"cuda:0"``.

    Returns
    -------
    int or None
        None where nobody says it. ``DREAMOPT_MOST_MEMORY`` in the environment, in bytes, caps it.
    """
    known: list[int] = []
    if device.startswith("cuda"):
        import torch  # what asks about a GPU has loaded it

        with contextlib.suppress(RuntimeError):
            unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            known = [torch.cuda.mem_get_info(device)[0] + unused]
    elif device.startswith("cpu"):
        known = [count for count in (_of_machine(), *_of_containers(), _of_process()) if count is not None]
    cap = limit("memory")
    return min(known if cap is None else [*known, cap], default=None)


def require_memory(count: float, what: str, device: str = "cpu", hint: Callable[[float], str] | None = None) -> None:
    """Refuse what takes more memory than is free.

    Parameters
    ----------
    count : float
        Bytes that are taken at the least.
    what : str
        Names it in the error, as "an image of 9000 x 9000 pixels".
    device : str
        Where they are taken.
    hint : callable, optional
        Gets the bytes that are free, and returns what would fit, in words.

    Raises
    ------
    OutOfMemoryError
        If they are not free.

    Examples
    --------
    >>> require_memory(2.0**70, "the blob 'conv1'")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dreamopt.errors.OutOfMemoryError: the blob 'conv1' takes ..., but ... free...
    """
    if count <= SMALL and limit("memory") is None:
        return
    free = free_memory(device)
    if free is not None and count > free:
        raise OutOfMemoryError(f"{what} takes {readable(count)}, but {readable(free)} of memory are free{_hinted(hint, free)}")


@contextlib.contextmanager
def memory_errors(what: Callable[[], str], device: str = "cpu", hint: Callable[[float], str] | None = None) -> Iterator[None]:
    """Turn anybody's error of memory inside the ``with`` block into an OutOfMemoryError.

    Parameters
    ----------
    what : callable
        Returns what needed the memory, in words; called in that case alone.
    device, hint
        As for `require_memory`.

    Examples
    --------
    >>> with memory_errors(lambda: "the render"):  # doctest: +ELLIPSIS
    ...     raise MemoryError
    Traceback (most recent call last):
    dreamopt.errors.OutOfMemoryError: the render ran out of memory...
    """
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        if isinstance(problem, OutOfMemoryError) or not is_out_of_memory(problem):
            raise
        # Frames that have ended would keep what they had made for as long as anybody looks at the error.
        traceback.clear_frames(problem.__traceback__)
        free = free_memory(device)
        words = "" if free is None else f": {readable(free)} are free{_hinted(hint, free)}"
        raise OutOfMemoryError(f"{what()} ran out of memory{words}") from None


def is_out_of_memory(problem: BaseException) -> bool:
    """Return whether an error of Python, numpy, or torch on any device means that memory is lacking.

    >>> is_out_of_memory(RuntimeError("CUDA error: out of memory")), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    >>> [is_out_of_memory(RuntimeError(f"could not create a primitive{more}")) for more in ("", " descriptor")]
    [True, False]
    """
    if isinstance(problem, MemoryError):
        return True
    text = str(problem)
    return isinstance(problem, RuntimeError) and (any(sign in text for sign in _SIGNS) or text.rstrip().endswith(_OF_ONEDNN))


def _hinted(hint: Callable[[float], str] | None, free: float) -> str:
    words = "" if hint is None else hint(free)
    cap = f" ({variable('memory')} allows no more)" if limit("memory") is not None else ""
    return f"{cap}; {words}" if words else cap


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # all there is, where nobody says what is free
    except (AttributeError, OSError, ValueError):
        return None


def _of_containers() -> list[int]:
    """Return what is left of the memory limits of the control groups that the process is in."""
    try:
        entries = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    left = []
    for entry in entries:
        _, controllers, group = entry.split(":", 2)
        if controllers == "":
            root, most, used = Path("/sys/fs/cgroup"), "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, most, used = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        inner = PurePosixPath(group.lstrip("/"))
        for folder in (root / inner, *(root / parent for parent in inner.parents)):
            allowed, taken = _number(folder / most), _number(folder / used)
            if allowed is not None and taken is not None:
                left.append(max(0, allowed - taken + _reclaimable(folder)))
    return left


def _reclaimable(folder: Path) -> int:
    """Return the bytes of files that the kernel gives up first."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "total_inactive_file "))), 0)
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no number either
        return None


def _of_process() -> int | None:
    """Return what the process may still take of its own limit (``ulimit -v``)."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return max(0, most - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError):
        return None
