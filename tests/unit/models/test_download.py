"""Downloads, against a server on this machine that misbehaves on request."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from dreamopt.errors import ModelError
from dreamopt.models import cached, fetch, load_catalogue, locate
from dreamopt.models.catalogue import RemoteFile
from dreamopt.models.download import download

BODY = bytes(range(256)) * 4000  # about 1 MB: several chunks


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        body = server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        if server.faults.get(self.path, 0):
            server.faults[self.path] -= 1
            if server.fault == "503":
                self.send_error(503)
                return
        start = 0
        asked = self.headers.get("Range")
        changed = self.headers.get("If-Range") not in (None, server.etag)
        if asked and server.ranges and not changed:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[start:] if cut is None else body[start : start + cut])


@pytest.fixture
def server():
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    served.files, served.asked, served.cuts, served.faults = {"/net": BODY}, [], [], {}
    served.ranges, served.etag, served.fault = True, '"one"', ""
    served.url = f"http://127.0.0.1:{served.server_address[1]}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def remote(server, body: bytes = BODY, path: str = "/net", **changes) -> RemoteFile:
    fields = {
        "name": "net.caffemodel",
        "urls": (server.url + path,),
        "checksums": {"sha256": hashlib.sha256(body).hexdigest(), "sha1": hashlib.sha1(body).hexdigest()},
        "size": len(body),
    }
    return RemoteFile(**(fields | changes))


def get(file: RemoteFile, folder, **changes):
    return download(file, folder, **({"timeout": 5.0, "retries": 2, "pause": 0.01} | changes))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_plain_fetch_reports_progress_and_is_not_repeated(server, tmp_path) -> None:
    seen = []
    path = get(remote(server), tmp_path / "new" / "folder", progress=lambda *report: seen.append(report))
    assert path.read_bytes() == BODY
    assert seen[-1] == ("net.caffemodel", len(BODY), len(BODY))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    get(remote(server), path.parent)
    assert len(server.asked) == 1
    assert names(path.parent) == {"net.caffemodel"}


def test_a_cut_transfer_is_resumed_where_it_broke(server, tmp_path) -> None:
    server.cuts = [300_000, 200_000]
    assert get(remote(server), tmp_path).read_bytes() == BODY
    assert [asked for _, asked in server.asked] == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_call_resumes_too(server, tmp_path) -> None:
    server.cuts = [300_000]
    with pytest.raises(ModelError, match=r"ended after 300000 of 1024000 bytes, after 1 attempts; 300000 bytes are kept"):
        get(remote(server), tmp_path, retries=0)
    assert names(tmp_path) == {"net.caffemodel.part", "net.caffemodel.part.etag"}
    assert get(remote(server), tmp_path).read_bytes() == BODY
    assert server.asked[-1][1] == "bytes=300000-"
    assert names(tmp_path) == {"net.caffemodel"}


def test_a_server_without_ranges_starts_over(server, tmp_path) -> None:
    server.ranges, server.cuts = False, [300_000]
    assert get(remote(server), tmp_path).read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_not_spliced(server, tmp_path) -> None:
    server.cuts = [300_000]
    with pytest.raises(ModelError):
        get(remote(server), tmp_path, retries=0)
    server.files["/net"], server.etag = BODY[::-1], '"two"'
    assert get(remote(server, BODY[::-1]), tmp_path).read_bytes() == BODY[::-1]


def test_a_stale_partial_file_without_etag_costs_one_more_fetch(server, tmp_path) -> None:
    server.etag = ""
    (tmp_path / "net.caffemodel.part").write_bytes(b"x" * 1000)
    assert get(remote(server), tmp_path).read_bytes() == BODY
    (tmp_path / "net.caffemodel").unlink()
    (tmp_path / "net.caffemodel.part").write_bytes(b"x" * (len(BODY) + 5))  # longer than the file: the server says 416
    assert get(remote(server), tmp_path).read_bytes() == BODY


def test_a_wrong_checksum_leaves_no_file_under_the_final_name(server, tmp_path) -> None:
    wrong = remote(server, checksums={"sha1": "0" * 40})
    with pytest.raises(ModelError, match=r"another file than was published: its sha1 is [0-9a-f]{40} where 0{40}"):
        get(wrong, tmp_path)
    assert names(tmp_path) == {"net.caffemodel.bad"}


def test_a_wrong_size_is_caught_without_a_checksum(server, tmp_path) -> None:
    with pytest.raises(ModelError, match="1024000 bytes where 7 were published"):
        get(remote(server, checksums={}, size=7), tmp_path)


def test_a_damaged_file_in_the_cache_is_fetched_again(server, tmp_path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(b"half")
    assert get(remote(server), tmp_path).read_bytes() == BODY


def test_404_is_final_and_the_next_address_is_tried(server, tmp_path) -> None:
    with pytest.raises(ModelError, match=r"/gone answered 404 Not Found\."):
        get(remote(server, path="/gone"), tmp_path)
    assert len(server.asked) == 1
    both = remote(server, urls=(server.url + "/gone", server.url + "/net"))
    assert get(both, tmp_path).read_bytes() == BODY


def test_a_busy_server_is_asked_again(server, tmp_path) -> None:
    server.fault, server.faults = "503", {"/net": 2}
    assert get(remote(server), tmp_path).read_bytes() == BODY
    assert len(server.asked) == 3


def test_nobody_answers(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/net could not be fetched: no connection .* after 2 attempts"):
        get(RemoteFile("net", ("http://127.0.0.1:9/net",), {}), tmp_path, retries=1)


def test_other_schemes_are_refused(tmp_path) -> None:
    with pytest.raises(ModelError, match="not an http or https address"):
        get(RemoteFile("net", ("file:///etc/hostname",), {}), tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        get(remote(server), tmp_path / "file" / "folder")


def test_a_member_of_a_zip(server, tmp_path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("release/fc6/generator.caffemodel", BODY)
    server.files["/zip"] = packed.getvalue()
    inside = remote(server, path="/zip", member="release/fc6/generator.caffemodel")
    assert get(inside, tmp_path).read_bytes() == BODY
    assert names(tmp_path) == {"net.caffemodel"}
    with pytest.raises(ModelError, match="does not hold absent"):
        get(remote(server, path="/zip", member="absent", name="other"), tmp_path)


@pytest.fixture
def catalogue(server, tmp_path):
    server.files |= {"/deploy": b"name: 'toy'", "/labels": b"cat\ndog\n"}
    text = f"""
[labels.two]
name = "labels.txt"
urls = ["{server.url}/labels"]
[models.toy]
title = "A toy"
home = "{server.url}"
mean = [1.0, 2.0, 3.0]
input = [3, 5, 7]
labels = "two"
[models.toy.prototxt]
name = "deploy.prototxt"
urls = ["{server.url}/deploy"]
[models.toy.weights]
name = "toy.caffemodel"
urls = ["{server.url}/net"]
sha256 = "{hashlib.sha256(BODY).hexdigest()}"
[models.half]
title = "No prototxt known"
home = "{server.url}"
"""
    path = tmp_path / "models.toml"
    path.write_text(text)
    return load_catalogue(path)


def test_fetching_a_model_fills_the_cache(catalogue, tmp_path) -> None:
    cache = tmp_path / "cache"
    assert cached(catalogue["toy"], cache) is None
    files = fetch(catalogue["toy"], cache, pause=0.01)
    assert set(files) == {"prototxt", "weights", "labels"}
    assert cached(catalogue["toy"], cache) == files
    located = locate("toy", cache, catalogue)
    assert (located.prototxt, located.weights) == (str(files["prototxt"]), str(files["weights"]))
    assert located.mean == (1.0, 2.0, 3.0)


def test_a_model_without_an_address_says_where_its_home_is(catalogue, tmp_path) -> None:
    with pytest.raises(ModelError, match=r"no address of the prototxt and weights of half; its home is http://127"):
        fetch(catalogue["half"], tmp_path)


def test_the_command_fetches_prints_paths_and_stays_quiet_on_stdout(catalogue, tmp_path, monkeypatch) -> None:
    from dreamopt.cli import cli

    monkeypatch.setattr("dreamopt.models.load_catalogue", lambda: catalogue)
    result = CliRunner().invoke(cli, ["models", "get", "toy", "--cache", str(tmp_path / "c")])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "c" / "models" / "toy"
    assert result.stdout.split() == [str(folder / "deploy.prototxt"), str(folder / "toy.caffemodel"), str(folder / "labels.txt")]
    assert "--net toy" in result.stderr
    result = CliRunner().invoke(cli, ["models", "get", "half", "--cache", str(tmp_path / "c")])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "its home is" in result.stderr
