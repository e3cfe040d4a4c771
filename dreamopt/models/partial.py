"""A file that is under way: its part file in the cache, resumed by each attempt, and what tells that it is the published one."""

from __future__ import annotations

import hashlib
import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from dreamopt.errors import ModelError
from dreamopt.models.archive import ArchiveError, unpack
from dreamopt.models.catalogue import RemoteFile
from dreamopt.models.scratch import open_scratch, put_away, size_of
from dreamopt.models.transfer import BrokenTransferError, Pace, RangeRefusedError, answer, chunks
from dreamopt.parts.reading import open_regular

LARGEST = 4 * 2**30
"""The most bytes of a file whose size nobody published."""
Progress = Callable[[str, int, int | None], None]
"""Called with (file name, bytes so far, bytes in all or None)."""
_ETAG = re.compile(r'"[!#-~]{1,200}"')  # a strong one: others do not say that the bytes are the same
_SPAN = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", re.ASCII)


class OtherFileError(Exception):
    """What arrived is not what was published; in a sentence about "it"."""


class TooLargeError(OtherFileError):
    """More comes than was published, or than is fetched at all."""


class _StaleError(Exception):
    """The server does not go on with what has arrived; in a sentence."""


def digests(path: Path, algorithms: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    """Return the hex digest of a file under each algorithm, reading it once."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with open_regular(path, "the file", ModelError) as stream:
        while chunk := stream.read(1 << 20):
            for digest in hashes.values():
                digest.update(chunk)
    return {algorithm: digest.hexdigest() for algorithm, digest in hashes.items()}


def verify(path: Path, size: int | None, checksums: Mapping[str, str]) -> str | None:
    """Say in a sentence how a file differs from what was published, or None when it agrees."""
    there = path.stat().st_size
    if size is not None and there != size:
        return f"it has {there} bytes where {size} were published"
    for algorithm, digest in digests(path, checksums).items():
        if digest != checksums[algorithm]:
            return f"its {algorithm} is {digest} where {checksums[algorithm]} was published"
    return None


class PartialFile:
    """What has arrived of a file, or of the archive that it is in.

    Parameters
    ----------
    remote : RemoteFile
        What was published.
    folder : Path
        Of the cache.
    """

    def __init__(self, remote: RemoteFile, folder: Path) -> None:
        self.remote = remote
        self.path = folder / (remote.name + (".part" if remote.member is None else ".zip.part"))
        self.unpacked = folder / (remote.name + ".part")
        self.tag = self.path.with_name(self.path.name + ".etag")
        self.size = remote.size if remote.member is None else remote.archive_size
        self.checksums = remote.checksums if remote.member is None else remote.archive_checksums
        self.most = LARGEST if self.size is None else self.size
        self.resumed = False
        """Whether the last `fetch` went on with what an earlier one left."""

    def discard(self) -> None:
        """Forget what has arrived."""
        put_away(self.path, self.tag, self.unpacked)

    def check(self) -> Path:
        """Return the file, unpacked where it is in an archive, if it agrees with what was published.

        Raises
        ------
        OtherFileError
            If it does not.
        """
        fault = verify(self.path, self.size, self.checksums)
        if fault is not None or self.remote.member is None:
            return _agreed(self.path, fault)
        with open_regular(self.path, "the archive", ModelError) as archive, open_scratch(self.unpacked) as out:
            out.truncate()
            try:
                unpack(archive, self.remote.member, out, self.remote.size, LARGEST)
            except ArchiveError as error:
                raise OtherFileError(str(error)) from error
        return _agreed(self.unpacked, verify(self.unpacked, self.remote.size, self.remote.checksums))

    def fetch(self, url: str, timeout: float, retries: int, pause: float, progress: Progress | None) -> None:
        """Bring it to its end, in several attempts; parameters as of `dreamopt.models.download.download`."""
        reason, self.resumed = "", size_of(self.path) > 0
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(pause * 2 ** min(attempt - 1, 10))
            try:
                return self._attempt(url, timeout, progress)
            except BrokenTransferError as error:
                reason = str(error)
        raise ModelError(
            f"{url} could not be fetched: {reason}, after {retries + 1} attempts; "
            f"{size_of(self.path)} bytes are kept, and the next call goes on from there."
        )

    def _attempt(self, url: str, timeout: float, progress: Progress | None) -> None:
        start, tag = size_of(self.path), self._etag()
        # Without a tag or a checksum nothing would tell that the file has changed meanwhile.
        if start > self.most or (tag is None and not self.checksums):
            start = 0
        if start and start == self.size and self.checksums:
            return
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and tag is not None:  # a file that changed meanwhile is sent whole, never spliced
            headers["If-Range"] = tag
        with Pace(timeout) as pace:
            try:
                with answer(url, headers, pace) as response, open_scratch(self.path) as out:
                    start = self._start(url, response, start, tag)
                    total = self._total(url, response, start)
                    out.seek(start)
                    out.truncate()
                    done = self._copy(chunks(response, url, pace), out, start, total, progress)
            except RangeRefusedError as error:
                if start and str(error) in ((f"bytes */{start}", "") if self.checksums else (f"bytes */{start}",)):
                    return  # nothing is left to send
                self.discard()
                raise BrokenTransferError("the server does not have the part of the file that was asked for") from error
            except _StaleError as error:
                self.discard()
                raise BrokenTransferError(str(error)) from error
        if total is not None and done < total:
            raise BrokenTransferError(f"the connection ended after {done} of {total} bytes")

    def _etag(self) -> str | None:
        """Return the tag of what has arrived, if a sound one is known."""
        if not size_of(self.tag):
            return None
        with open_scratch(self.tag) as stream:
            text = stream.read(300).decode("latin-1")
        return text if _ETAG.fullmatch(text) else None

    def _start(self, url: str, response: http.client.HTTPResponse, start: int, tag: str | None) -> int:
        """Return where the body belongs in the file, and note the file's tag."""
        if response.status not in (200, 206):
            raise ModelError(f"{url} answered {response.status} {response.reason}, which is no file.")
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise ModelError(f"{url} answered in the encoding {encoding}, which was not asked for.")
        sent = response.headers.get("ETag", "").strip()
        if response.status == 206:
            spans = response.headers.get_all("Content-Range", [])
            span = _SPAN.fullmatch(spans[0].strip()) if len(spans) == 1 else None
            size = "*" if self.size is None else str(self.size)
            if not start or span is None or int(span[1]) != start or (size != span[2] and "*" not in (size, span[2])):
                raise _StaleError("the server sent another part of the file than was asked for")
            if tag is not None and sent not in ("", tag):
                raise _StaleError("the file has changed meanwhile")
            return start
        put_away(self.tag)
        if _ETAG.fullmatch(sent):
            with open_scratch(self.tag) as stream:
                stream.write(sent.encode("ascii"))
        return 0

    def _total(self, url: str, response: http.client.HTTPResponse, start: int) -> int | None:
        lengths = {length.strip() for length in response.headers.get_all("Content-Length", [])}
        if response.chunked or not lengths:
            return None
        length = lengths.pop()
        if lengths or re.fullmatch(r"\d{1,40}", length, re.ASCII) is None:
            raise ModelError(f"{url} answered with the Content-Length {', '.join([length, *lengths])}, which is no number of bytes.")
        self._check_size(start + int(length), "would have")
        return start + int(length)

    def _copy(self, body: Iterator[bytes], out: BinaryIO, start: int, total: int | None, progress: Progress | None) -> int:
        done = start
        for chunk in body:
            done += len(chunk)
            self._check_size(done, "has at least")
            out.write(chunk)
            if progress is not None:
                progress(self.remote.name, done, total)
        return done

    def _check_size(self, size: int, has: str) -> None:
        if size > self.most:
            limit = f"no size was published, and at most {LARGEST} are fetched" if self.size is None else f"{self.size} were published"
            raise TooLargeError(f"it {has} {size} bytes where {limit}")


def _agreed(path: Path, fault: str | None) -> Path:
    if fault is not None:
        raise OtherFileError(fault)
    return path
