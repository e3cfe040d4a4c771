"""Fetching one file over HTTP: resumed, retried, checked, and never half a file under its final name."""

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dreamopt.errors import ModelError
from dreamopt.models.catalogue import RemoteFile
from dreamopt.version import __version__

CHUNK = 1 << 18
Progress = Callable[[str, int, int | None], None]
"""Called with (file name, bytes so far, bytes in all or None)."""


class _BrokenTransferError(Exception):
    """A passing fault: what arrived so far is kept, and the next attempt goes on from there."""


def digests(path: Path, algorithms: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    """Return the hex digest of a file under each algorithm, reading it once."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            for digest in hashes.values():
                digest.update(chunk)
    return {algorithm: digest.hexdigest() for algorithm, digest in hashes.items()}


def verify(path: Path, remote: RemoteFile) -> str | None:
    """Say in a sentence how a file differs from what was published, or None when it agrees."""
    size = path.stat().st_size
    if remote.member is None and remote.size is not None and size != remote.size:
        return f"it has {size} bytes where {remote.size} were published"
    for algorithm, digest in digests(path, remote.checksums).items():
        if digest != remote.checksums[algorithm]:
            return f"its {algorithm} is {digest} where {remote.checksums[algorithm]} was published"
    return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock beside the file, so that two processes never write the same partial download."""
    lock = path.with_name(path.name + ".lock")
    with lock.open("w") as stream:
        try:
            import fcntl
        except ImportError:  # not POSIX: the checksum still catches a mixed file
            yield
            return
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return None if length is None else start + int(length)


def _attempt(url: str, part: Path, name: str, timeout: float, progress: Progress | None) -> None:
    """Bring the partial file to its end, resuming where it stands if the server can."""
    tag = part.with_name(part.name + ".etag")
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"dreamopt/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag.exists():  # a file that changed meanwhile is sent whole (200), never spliced
            headers["If-Range"] = tag.read_text("utf-8")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as response:
            if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                start = 0
            etag = response.headers.get("ETag", "")
            if etag and not etag.startswith("W/"):
                tag.write_text(etag, "utf-8")
            else:
                tag.unlink(missing_ok=True)
            total = _total(response, start)
            done = start
            with part.open("r+b" if start else "wb") as out:
                out.seek(start)
                out.truncate()
                while chunk := response.read(CHUNK):
                    out.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(name, done, total)
            if total is not None and done < total:
                raise _BrokenTransferError(f"the connection ended after {done} of {total} bytes")
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send: the checksum decides whether it is whole
            return
        if error.code in {408, 425, 429, 500, 502, 503, 504}:
            raise _BrokenTransferError(f"the server answered {error.code} {error.reason}") from error
        raise ModelError(f"{url} answered {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise _BrokenTransferError(f"no connection ({error.reason})") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _BrokenTransferError(f"the connection broke ({error or type(error).__name__})") from error


def _from_url(url: str, part: Path, name: str, timeout: float, retries: int, pause: float, progress: Progress | None) -> None:
    if not url.startswith(("http://", "https://")):
        raise ModelError(f"{url} is not an http or https address.")
    reason = ""
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            return _attempt(url, part, name, timeout, progress)
        except _BrokenTransferError as error:
            reason = str(error)
    received = part.stat().st_size if part.exists() else 0
    raise ModelError(
        f"{url} could not be fetched: {reason}, after {retries + 1} attempts; "
        f"{received} bytes are kept, and the next call goes on from there."
    )


def _unpack(archive: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as packed, packed.open(member) as source, target.open("wb") as out:
            while chunk := source.read(1 << 20):
                out.write(chunk)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        target.unlink(missing_ok=True)
        raise ModelError(f"the archive {archive.name} does not hold {member}: {error}.") from error


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
    and if it still does not, it stays as ``NAME.bad`` for a look.

    Parameters
    ----------
    remote : RemoteFile
        Name, addresses, checksums.
    folder : Path
        Where to put it; created when missing.
    timeout : float
        Seconds without a byte after which an attempt counts as broken.
    retries : int
        Further attempts per address after the first.
    pause : float
        Seconds before the first retry, doubled before each further one.
    progress : callable, optional
        Called with (name, bytes so far, bytes in all or None).

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    ModelError
        When no address gives the file, or what they give disagrees with the published checksum.
    """
    target = folder / remote.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if target.exists() and verify(target, remote) is None:
                return target
            part = folder / (remote.name + (".zip.part" if remote.member else ".part"))
            faults = []
            for url in remote.urls:
                try:
                    return _checked(url, remote, part, target, timeout, retries, pause, progress)
                except ModelError as error:
                    faults.append(str(error))
    except OSError as error:
        raise ModelError(f"{target} cannot be written: {error.strerror or error}.") from error
    raise ModelError(" ".join(faults) if faults else f"no address of {remote.name} is known.")


def _checked(
    url: str, remote: RemoteFile, part: Path, target: Path, timeout: float, retries: int, pause: float, progress: Progress | None
) -> Path:
    fault: str | None = None
    for _ in range(2):  # a partial file left by another version of the file can spoil the first try, not the second
        _from_url(url, part, remote.name, timeout, retries, pause, progress)
        whole = part
        if remote.member is not None:
            whole = target.with_name(target.name + ".part")
            _unpack(part, remote.member, whole)
        fault = verify(whole, remote)
        os.replace(whole, target if fault is None else target.with_name(target.name + ".bad"))
        part.unlink(missing_ok=True)
        part.with_name(part.name + ".etag").unlink(missing_ok=True)
        if fault is None:
            return target
    raise ModelError(f"{url} gave another file than was published: {fault}; it is kept as {target.name}.bad.")
