"""Fetching one file over HTTP: resumed, retried, checked, within limits, and never half a file under its final name."""

from __future__ import annotations

import os
from pathlib import Path

from dreamopt.errors import ModelError
from dreamopt.models.catalogue import RemoteFile
from dreamopt.models.partial import LARGEST, OtherFileError, PartialFile, Progress, TooLargeError, digests, verify
from dreamopt.models.scratch import locked
from dreamopt.parts.checks import Range, check_number, check_whole
from dreamopt.parts.folders import MadeFolders

__all__ = ["LARGEST", "Progress", "digests", "download", "verify"]


def download(
    remote: RemoteFile,
    folder: Path,
    *,
    timeout: float = 30.0,
    retries: int = 3,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch one file into a folder, unless it lies there already and agrees with its checksums.

    What arrives is written to ``NAME.part``; a broken transfer is resumed there, by this call or a later one. The final name
    appears only after size and checksums agree. A complete download that does not agree is fetched once more from its beginning,
    and if it still does not, it stays as ``NAME.bad`` for a look. Where a size was published, no more is written than that; where none
    was, no more than `LARGEST`. Links in the place of the part file are removed, not followed.

    Parameters
    ----------
    remote : RemoteFile
        Name, addresses, checksums.
    folder : Path
        Where to put it; created when missing.
    timeout : float
        Seconds, up to a day: in each span of so many, `dreamopt.models.transfer.SLOWEST` bytes a second must arrive, else the attempt
        counts as broken.
    retries : int
        Further attempts per address after the first, up to 1000.
    pause : float
        Seconds before the first retry, doubled before each further one; up to an hour.
    progress : callable, optional
        Called with (name, bytes so far, bytes in all or None).

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    UsageError
        For a number out of its range.
    ModelError
        When no address gives the file, or what they give disagrees with the published checksum.
    """
    timeout = check_number("timeout", timeout, Range(0, 86400, above=True))
    retries = check_whole("retries", retries, Range(0, 1000))
    pause = check_number("pause", pause, Range(0, 3600))
    target = folder / remote.name
    faults = []
    made = MadeFolders(folder)
    try:
        made.make()
        with locked(target):
            if target.is_file() and verify(target, remote.size, remote.checksums) is None:
                return target
            for url in remote.urls:
                try:
                    return _checked(url, PartialFile(remote, folder), target, timeout, retries, pause, progress)
                except ModelError as error:
                    faults.append(str(error))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the folder's name
        raise ModelError(f"{target} cannot be written: {getattr(error, 'strerror', None) or error}.") from error
    finally:
        made.remove_empty()
    raise ModelError(" ".join(faults) if faults else f"no address of {remote.name} is known.")


def _checked(url: str, partial: PartialFile, target: Path, timeout: float, retries: int, pause: float, progress: Progress | None) -> Path:
    bad = target.with_name(target.name + ".bad")
    fault = kept = ""
    for _ in range(2):  # what was left by another version of the file can spoil the first try, not the second
        try:
            partial.fetch(url, timeout, retries, pause, progress)
            os.replace(partial.check(), target)
            fault = ""
        except TooLargeError as error:
            fault, kept = str(error), ""
        except OtherFileError as error:
            fault, kept = str(error), f"; it is kept as {bad.name}"
            os.replace(partial.path, bad)
        partial.discard()
        if not fault:
            return target
        if not kept and not partial.resumed:
            break
    raise ModelError(f"{url} gave another file than was published: {fault}{kept}.")
