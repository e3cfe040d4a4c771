"""Downloads from a server that sends what no server should, and what lies in the cache's way: a sentence each, and nothing else is touched."""

import hashlib
import io
import os
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable

import pytest

from dreamopt.errors import ModelError, UsageError
from dreamopt.models import archive, partial, transfer
from dreamopt.models.catalogue import Model, RemoteFile
from dreamopt.models.download import download
from dreamopt.models.names import check_name

BODY = bytes(range(256)) * 40
OK = "HTTP/1.1 200 OK\r\n"
Answer = Callable[[socket.socket, str], None]


class Server:
    """Answers each connection by the next of its answers, the last one again and again; an answer gets the socket and the request."""

    def __init__(self, *answers: Answer | str | bytes) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/net"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65536).decode("latin-1")
                self.asked.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                try:
                    if callable(answer):
                        answer(connection, request)
                    else:
                        connection.sendall(answer.encode("latin-1") if isinstance(answer, str) else answer)
                except OSError:  # the client has hung up
                    continue

    def close(self) -> None:
        # close() alone leaves accept() waiting.
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(5)


@pytest.fixture
def serve():
    servers = []

    def start(*answers: Answer | str | bytes) -> Server:
        servers.append(Server(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def whole(body: bytes = BODY, *headers: str) -> bytes:
    return (OK + "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {len(body)}")) + "\r\n").encode("latin-1") + body


def with_ranges(connection: socket.socket, request: str) -> None:
    """Answer as a server that keeps to the rules does, without tags."""
    start = int(request.split("Range: bytes=")[1].split("-")[0]) if "Range: bytes=" in request else None
    if start is None:
        connection.sendall(whole())
    elif start >= len(BODY):
        connection.sendall(f"HTTP/1.1 416 No\r\nContent-Range: bytes */{len(BODY)}\r\nContent-Length: 0\r\n\r\n".encode())
    else:
        head = (
            f"HTTP/1.1 206 Part\r\nContent-Range: bytes {start}-{len(BODY) - 1}/{len(BODY)}\r\nContent-Length: {len(BODY) - start}\r\n\r\n"
        )
        connection.sendall(head.encode() + BODY[start:])


def remote(url: str, **changes) -> RemoteFile:
    fields = {"name": "net.caffemodel", "urls": (url,), "checksums": {"sha256": hashlib.sha256(BODY).hexdigest()}, "size": len(BODY)}
    return RemoteFile(**(fields | changes))


def get(file: RemoteFile, folder, **changes):
    return download(file, folder, **({"timeout": 5.0, "retries": 1, "pause": 0.01} | changes))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def endless(head: str, piece: bytes = b"x" * 65536, pause: float = 0.0) -> Answer:
    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(head.encode("latin-1"))
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return answer


def test_an_endless_body_is_written_up_to_the_published_size(serve, tmp_path) -> None:
    server = serve(endless(OK + "\r\n"))
    with pytest.raises(ModelError, match=r"it has at least \d+ bytes where 10240 were published\.$"):
        get(remote(server.url), tmp_path)
    assert names(tmp_path) == set()
    assert len(server.asked) == 1


def test_an_endless_body_of_unknown_size_ends_at_the_limit(serve, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(partial, "LARGEST", 100_000)
    with pytest.raises(ModelError, match=r"at least \d+ bytes where no size was published, and at most 100000 are fetched"):
        get(remote(serve(endless(OK + "\r\n")).url, size=None), tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(OK + "\r\n", id="body"),
        pytest.param("", id="status"),
        pytest.param(OK + "X-A: ", id="headers"),
        pytest.param(OK + "Transfer-Encoding: chunked\r\n\r\n0\r\n", id="trailers"),
    ],
)
def test_a_byte_now_and_then_ends(serve, tmp_path, head) -> None:
    server = serve(endless(head, b"x", 0.02))
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"fewer than 4096 bytes a second came in 0\.2 seconds, after 2 attempts"):
        get(remote(server.url), tmp_path, timeout=0.2)
    assert time.monotonic() - started < 20  # without a least rate: 200 seconds for the body, no end for the others
    assert len(server.asked) == 2


def test_a_handshake_of_a_byte_now_and_then_ends(serve, tmp_path) -> None:
    server = serve(endless("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"x", 0.02))
    with pytest.raises(ModelError, match="fewer than 4096 bytes a second"):
        get(remote(server.url.replace("http:", "https:")), tmp_path, timeout=0.2, retries=0)


def test_endless_interim_answers_end(serve, tmp_path) -> None:
    server = serve(endless("", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001))
    with pytest.raises(ModelError, match="fewer than 4096 bytes a second"):
        get(remote(server.url), tmp_path, timeout=0.2, retries=0)


def test_a_slow_transfer_that_goes_on_is_no_fault(serve, tmp_path) -> None:
    def slowly(connection: socket.socket, _: str) -> None:
        connection.sendall(f"{OK}Content-Length: {len(BODY)}\r\n\r\n".encode())
        for start in range(0, len(BODY), 1024):
            connection.sendall(BODY[start : start + 1024])
            time.sleep(0.03)  # three spans in all

    assert get(remote(serve(slowly).url), tmp_path, timeout=0.1, retries=0).read_bytes() == BODY


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param(b"z" * (len(BODY) + 7), id="longer"),
        pytest.param(b"z" * 100, id="other content"),
        pytest.param(b"z" * len(BODY), id="other content of the same size"),
        pytest.param(BODY[:100], id="with a wrong tag"),
    ],
)
@pytest.mark.parametrize("tag", [None, '"old"', "", "x\r\nInjected: 1", "\xff" * 5000])
def test_a_spoiled_part_file_is_recovered_from(serve, tmp_path, spoiled, tag) -> None:
    (tmp_path / "net.caffemodel.part").write_bytes(spoiled)
    if tag is not None:
        (tmp_path / "net.caffemodel.part.etag").write_text(tag, "latin-1")
    server = serve(with_ranges)
    assert get(remote(server.url), tmp_path, retries=0).read_bytes() == BODY
    assert names(tmp_path) <= {"net.caffemodel", "net.caffemodel.bad"}
    assert not any("Injected" in request for request in server.asked)


def test_a_part_file_that_nothing_can_check_is_not_gone_on_with(serve, tmp_path) -> None:
    (tmp_path / "net.caffemodel.part").write_bytes(b"z" * 100)
    assert get(remote(serve(with_ranges).url, checksums={}, size=None), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("ending", [".part", ".part.etag", ".lock", ".bad"])
def test_links_in_the_cache_are_not_followed(serve, tmp_path, ending) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    cache = tmp_path / "cache"
    cache.mkdir()
    for link in (os.symlink, os.link):
        at = cache / f"net.caffemodel{ending}"
        at.unlink(missing_ok=True)
        link(precious, at)
        assert get(remote(serve(with_ranges).url), cache).read_bytes() == BODY
        assert precious.read_bytes() == b"keep me"
        (cache / "net.caffemodel").unlink()


@pytest.mark.parametrize("ending", [".part", ".part.etag", ".lock"])
def test_a_folder_or_a_pipe_in_the_cache_is_put_out_of_the_way(serve, tmp_path, ending) -> None:
    at = tmp_path / f"net.caffemodel{ending}"
    at.mkdir()
    (at / "file").write_text("keep me")
    assert get(remote(serve(with_ranges).url), tmp_path).read_bytes() == BODY
    assert (tmp_path / f"net.caffemodel{ending}.old" / "file").read_text() == "keep me"
    (tmp_path / "net.caffemodel").unlink()
    at.unlink(missing_ok=True)
    os.mkfifo(at)
    assert get(remote(serve(with_ranges).url), tmp_path).read_bytes() == BODY


def test_a_folder_or_a_pipe_under_the_final_name(serve, tmp_path) -> None:
    os.mkfifo(tmp_path / "net.caffemodel")
    assert get(remote(serve(with_ranges).url), tmp_path).read_bytes() == BODY
    (tmp_path / "net.caffemodel").unlink()
    (tmp_path / "net.caffemodel").mkdir()
    with pytest.raises(ModelError, match=r"net\.caffemodel cannot be written"):
        get(remote(serve(with_ranges).url), tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OK + "Content-Length: -1\r\n\r\n", "answered with the Content-Length -1, which is no number of bytes"),
        (OK + "Content-Length: abc\r\n\r\n", "answered with the Content-Length abc, which"),
        (OK + "Content-Length: 7\r\nContent-Length: 9\r\n\r\n", "answered with the Content-Length ., ., which"),
        (OK + f"Content-Length: {10**30}\r\n\r\n", "it would have 1000000000000000000000000000000 bytes where 10240 were published"),
        (OK + f"Content-Length: {'9' * 5000}\r\n\r\n", "answered with the Content-Length 9999"),
        (OK + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "answered in the encoding gzip, which was not asked for"),
        (OK + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "the connection broke"),
        (OK + "Transfer-Encoding: chunked\r\n\r\n-5\r\nabcde", "the connection broke|bytes where 10240 were published"),
        (OK + "X" * 70000 + "\r\n\r\n", "the connection broke"),
        (OK + "A: b\r\n" * 200 + "\r\n", "the connection broke"),
        ("HTTP/1.1 206 Part\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n0123456789", "another part of the file than was"),
        ("HTTP/1.1 204 Nothing\r\n\r\n", "answered 204 Nothing, which is no file"),
        ("HTTP/1.1 999 \x1b]0;mine\x07\r\nContent-Length: 0\r\n\r\n", r"answered 999 \\x1b\]0;mine\\x07"),
        ("HTTP/1.1 abc\r\n\r\n", "the connection broke"),
        ("SSH-2.0-OpenSSH\r\n", "the connection broke"),
        (b"\x16\x03\x01\x00\xff\n" * 3, "the connection broke"),
        ("", "the connection broke"),
    ],
)
def test_malformed_answers_are_a_sentence(serve, tmp_path, answer, message) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        get(remote(serve(answer).url), tmp_path, retries=0)
    assert str(caught.value).isprintable()
    assert "net.caffemodel" not in names(tmp_path)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Range: bytes 5-9/10",),
        ("Content-Range: garbage",),
        ("Content-Range: bytes 100-10239/10240", "Content-Range: bytes 0-1/2"),
        ("Content-Range: bytes 100-10239/999",),
        ("Content-Range: bytes 100-10239/" + "9" * 5000,),
        (),
    ],
)
def test_another_range_than_was_asked_for_is_fetched_from_the_beginning(serve, tmp_path, headers) -> None:
    (tmp_path / "net.caffemodel.part").write_bytes(BODY[:100])
    partly = "HTTP/1.1 206 Part\r\n" + "".join(f"{header}\r\n" for header in headers) + "\r\n" + "junk"
    server = serve(partly, whole())
    assert get(remote(server.url), tmp_path).read_bytes() == BODY
    assert ["Range" in request for request in server.asked] == [True, False]


def test_416_for_a_file_that_has_become_shorter(serve, tmp_path) -> None:
    (tmp_path / "net.caffemodel.part").write_bytes(b"z" * 100)
    (tmp_path / "net.caffemodel.part.etag").write_text('"old"')
    shorter = "HTTP/1.1 416 No\r\nContent-Range: bytes */50\r\nContent-Length: 0\r\n\r\n"
    assert get(remote(serve(shorter, whole()).url, size=None, checksums={}), tmp_path).read_bytes() == BODY


def redirect(*headers: str) -> str:
    return "HTTP/1.1 302 Found\r\n" + "".join(f"{header}\r\n" for header in headers) + "Content-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (None, "is a redirect that does not say where it leads"),
        ("", "is a redirect that does not say where it leads"),
        ("/net", r"leads from address to address: more than 10 redirects"),
        ("file:///etc/hostname", "leads to 'file:///etc/hostname', which is not an http or https address"),
        ("ftp://127.0.0.1/net", "which is not an http or https address"),
        ("data:,net", "which is not an http or https address"),
        ("http://127.0.0.1:99999/", "which is not an http or https address"),
        ("http://127.0.0.1:abc/", "which is not an http or https address"),
        ("http://[::1/", "which is not an http or https address"),
        ("http://\xe9\xe8\u2100.invalid/".encode().decode("latin-1"), "which is not an http or https address"),
        ("http://u:p@127.0.0.1/", "which is not an http or https address"),
        ("http:///net", r"leads from address to address: more than 10 redirects"),
        ("\x1b]0;mine\x07://", r"which is not an http or https address|leads from address to address"),
    ],
)
def test_redirects_that_lead_nowhere(serve, tmp_path, location, message) -> None:
    server = serve(redirect(*([] if location is None else [f"Location: {location}"])))
    with pytest.raises(ModelError, match=message) as caught:
        get(remote(server.url), tmp_path, retries=0)
    assert str(caught.value).isprintable()
    assert names(tmp_path) == set()


def test_a_redirect_out_of_https_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^https://a/net leads from https to http://b/net, which anybody"):
        transfer._redirected("https://a/net", "https://a/net", "http://b/net")
    assert transfer._redirected("http://a/net", "http://a/net", "https://b/net") == "https://b/net"


def test_the_body_of_a_redirect_is_not_read(serve, tmp_path) -> None:
    elsewhere = serve(whole())
    server = serve(endless(f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere.url}/caf\xe9 1\r\n\r\n"))
    assert get(remote(server.url), tmp_path).read_bytes() == BODY
    assert elsewhere.asked[0].startswith("GET /net/caf%E9%201 HTTP/1.1")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/net", "http://[::1", "http://a b/net", "http://", "net", "http://\x00/net", "http://\u2100/"]
)
def test_addresses_that_are_none(tmp_path, url) -> None:
    with pytest.raises(ModelError, match="is not an http or https address"):
        get(remote(url), tmp_path, retries=0)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def test_a_zip_bomb_is_not_unpacked(serve, tmp_path) -> None:
    bomb = packed({"in/net": bytes(20_000_000)})
    server = serve(whole(bomb))
    with pytest.raises(ModelError, match="in/net has 20000000 bytes in the archive where 10240 were published"):
        get(remote(server.url, member="in/net"), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * len(bomb)
    with pytest.raises(archive.ArchiveError, match="has 20000000 bytes in the archive, and at most 1000 are unpacked"):
        archive.unpack(io.BytesIO(bomb), "in/net", io.BytesIO(), None, 1000)


def test_an_archive_that_is_not_the_published_one_is_not_unpacked(serve, tmp_path, monkeypatch) -> None:
    content = packed({"in/net": BODY})
    published = {"sha256": hashlib.sha256(content).hexdigest()}
    inside = remote(serve(whole(content)).url, member="in/net", archive_size=len(content), archive_checksums=published)
    assert get(inside, tmp_path / "a").read_bytes() == BODY
    monkeypatch.setattr(partial, "unpack", lambda *_: pytest.fail("it was unpacked"))
    other = remote(serve(whole(content)).url, member="in/net", archive_checksums={"sha1": "0" * 40})
    with pytest.raises(ModelError, match=r"its sha1 is \w+ where 0{40} was published; it is kept as net.caffemodel.bad"):
        get(other, tmp_path / "b")
    with pytest.raises(ModelError, match=rf"it would have {len(content)} bytes where 7 were published"):
        get(remote(serve(whole(content)).url, member="in/net", archive_size=7), tmp_path / "c")


def spoil(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def in_directory(content: bytes, offset: int, value: bytes) -> bytes:
    """Change a field of the only entry of a zip's directory, and of the entry's own head."""
    return spoil(content, content.rindex(b"PK\x01\x02") + offset, value)


ZIP = packed({"in/net": BODY})
ZIPS = {
    "encrypted": (in_directory(ZIP, 8, b"\x01\x00"), "is encrypted in the archive"),
    "bzip2": (packed({"in/net": BODY}, zipfile.ZIP_BZIP2), "is compressed by method 12 of zip, and only 0 and 8"),
    "lzma": (packed({"in/net": BODY}, zipfile.ZIP_LZMA), "is compressed by method 14 of zip"),
    "method 99": (in_directory(ZIP, 10, b"\x63\x00"), "is compressed by method 99 of zip"),
    "version": (in_directory(ZIP, 6, b"\xff\x00"), "in one piece"),
    "checksum": (in_directory(ZIP, 16, b"\x00\x00\x00\x00"), "in one piece: Bad CRC-32"),
    "data": (spoil(ZIP, 45, b"\xff" * 20), "in one piece"),
    "cut": (ZIP[:-30], "in one piece: File is not a zip file"),
    "offset": (in_directory(ZIP, 42, b"\xff\xff\xff\x7f"), "in one piece"),
    "directory": (spoil(ZIP, ZIP.rindex(b"PK\x05\x06") + 12, struct.pack("<I", 2**31)), "in one piece"),
    "no zip": (b"not a zip", "in one piece: File is not a zip file"),
    "a folder": (packed({"in/net/": b""}), "does not hold in/net"),
    "names of other places": (packed({"../net": BODY, "/net": BODY}), "does not hold in/net"),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_damaged_and_strange_archives_are_a_sentence(serve, tmp_path, kind) -> None:
    content, message = ZIPS[kind]
    folder = tmp_path / "cache"
    server = serve(whole(content))
    with pytest.raises(ModelError, match=message):
        get(remote(server.url, member="in/net"), folder)
    assert names(folder) == {"net.caffemodel.bad"}
    assert names(tmp_path) == {"cache"}
    # And the next call begins anew.
    server.answers = [whole(ZIP)]
    assert get(remote(server.url, member="in/net"), folder).read_bytes() == BODY


def test_the_directory_of_a_zip_has_a_limit(monkeypatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_DIRECTORY", 100_000)
    many = packed({f"{'n' * 200}{i}": b"" for i in range(500)} | {"in/net": BODY})
    with pytest.raises(archive.ArchiveError, match=r"its directory has \d+ bytes, and at most 100000 are read"):
        archive.unpack(io.BytesIO(many), "in/net", io.BytesIO(), None, 10**6)


BAD_NAMES = (
    *("", ".", "..", "../net", "a/b", "/net", "a\\b", "C:net", "nul", "CON.txt", "com1", ".bashrc", "net.", "net ", " net"),
    *("a\x00b", "a\nb", "a\x1bb", "\u202enet", "net.part", "net.LOCK", "x" * 201, "\u00e9" * 101, "a*b", 7, None),
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_out_of_the_cache_are_refused(name) -> None:
    with pytest.raises(ModelError, match="cannot be used in the cache"):
        RemoteFile(name, ("http://127.0.0.1/net",), {})
    with pytest.raises(ModelError, match=r"the model's name .* cannot be used in the cache"):
        Model(name, "t", "h", None, (), None, 1.0, "BGR", (), (), {})


def test_usual_names_are_taken() -> None:
    for name in ("VGG_ILSVRC_16_layers.caffemodel", "a+b (1).prototxt", "netz-\u00e9.txt", "console", "x" * 200):
        assert check_name(name, "the name") == name


def test_two_files_of_one_name_are_refused() -> None:
    files = {role: RemoteFile(name, ("http://127.0.0.1/net",), {}) for role, name in (("prototxt", "net"), ("weights", "NET"))}
    with pytest.raises(ModelError, match="the model m has two files named 'net', as its prototxt and as another"):
        Model("m", "t", "h", None, (), None, 1.0, "BGR", (), (), files)


@pytest.mark.parametrize(
    ("option", "value"), [("timeout", float("nan")), ("timeout", 0), ("retries", -1), ("retries", 1.5), ("pause", float("inf"))]
)
def test_numbers_are_checked(tmp_path, option, value) -> None:
    with pytest.raises(UsageError, match=f"{option} must be a"):
        get(remote("http://127.0.0.1:9/net"), tmp_path, **{option: value})
