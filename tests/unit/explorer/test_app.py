"""What the explorer answers: views, hostile uploads, an image that grows and stops when nobody listens."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from dreamopt.explorer.app import Views
from dreamopt.explorer.photo import LARGEST_BODY
from tests.support.explorers import PORT, TOKEN, asking, explorer_of, new_viewer

Made = tuple[Any, Views]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with explorer_of() as both:
        yield both


def png(width: int = 60, height: int = 83, seed: int = 0) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(content, format="PNG")
    return content.getvalue()


def png_header(width: int, height: int) -> bytes:
    chunks = b""
    for name, data in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def image_of(text: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_photograph_its_layers_and_units(made: Made) -> None:
    app, views = made

    async def work(client: httpx.AsyncClient) -> None:
        about = (await client.get("/api/about")).json()
        assert about["net"] == "tiny"
        assert {"conv2/relu", "scores"} <= {one["name"] for one in about["layers"] if one["distinct"]}
        assert [one["name"] for one in about["layers"] if one["labels"]] == ["scores", "prob"]
        me = await new_viewer(client)
        photo = (await client.post(f"{me}/photo?name=a%20cat.png", content=png())).json()
        assert (photo["name"], photo["size"], len(photo["scores"]["top"])) == ("a cat.png", [83, 60], 5)
        assert image_of(photo["image"]).shape == (96, 96, 3)
        layer = (await client.get(f"{me}/layer?layer=conv2/relu")).json()
        assert (layer["units"], layer["shape"], layer["photo"]) == (64, [64, 24, 24], photo["photo"])
        assert image_of(layer["sprite"]).shape == (8 * 24, 8 * 24, 3)
        unit = (await client.get(f"{me}/unit?layer=conv2/relu&unit=7")).json()
        assert unit["highest"] == layer["highest"][7]
        assert "'a cat.png'" in unit["command"]
        for method in ("guided_backprop", "vargrad"):  # one pass, and many
            found = (await client.get(f"{me}/attribution?layer=conv2/relu&unit=7&method={method}&place=3,5")).json()
            assert found["target"] == "conv2/relu:7@3,5"
            assert image_of(found["overlay"]).shape == (96, 96, 3)

    asking(app, work)
    assert len(views.viewers) >= 1


def test_each_viewer_has_a_photograph_of_its_own(made: Made) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        both = [await new_viewer(client) for _ in range(2)]
        for seed, me in enumerate(both):
            await client.post(f"{me}/photo?name={seed}.png", content=png(seed=seed))
        sprites = [(await client.get(f"{me}/layer?layer=conv1")).json()["sprite"] for me in both]
        assert sprites[0] != sprites[1]

    asking(app, work)


BOMB = png_header(200_000, 200_000)
HOSTILE = {
    "nothing": b"",
    "text": b"hello",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>',
    "HTML": b"<!doctype html><script>alert(1)</script>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\n",
    "PDF": b"%PDF-1.4\n1 0 obj<<>>endobj\n",
    "cut": png()[:200],
    "huge": BOMB,
    "compressed": png_header(90, 90)[:-12] + zlib.compress(b"\0" * 10_000_000),
    "zip": b"PK\x03\x04" + b"\0" * 60,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence(made: Made, what: str) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        me = await new_viewer(client)
        answer = await client.post(f"{me}/photo?name=photo.png", content=HOSTILE[what])
        assert answer.status_code == 400
        said = answer.json()["error"]
        assert "photo.png" in said
        assert "/tmp" not in said
        assert "dreamopt-explore-" not in said
        assert (await client.get(f"{me}/layer?layer=conv1")).json()["error"].startswith("there is no photograph")

    asking(app, work)


def test_a_body_that_is_too_long_is_refused_before_it_is_read(made: Made) -> None:
    app, _ = made
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 4 * LARGEST_BODY:
            sent += 2**20
            yield b"\0" * 2**20

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post(f"{await new_viewer(client)}/photo", content=endless())
        assert answer.status_code == 400
        assert "32 MiB" in answer.json()["error"]

    asking(app, work)
    assert sent <= LARGEST_BODY + 4 * 2**20


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "<img src=x onerror=alert(1)>.png", "a\x1b[2Jb.png", "x" * 5000, "\0", "-rf.png"]
)
def test_a_name_is_a_name(made: Made, name: str) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        me = await new_viewer(client)
        photo = (await client.post(f"{me}/photo", params={"name": name}, content=png())).json()
        assert "/" not in photo["name"] or name.startswith("<")
        assert len(photo["name"]) <= 120
        assert photo["name"] not in ("", ".", "..")

    asking(app, work)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("layer?layer=nowhere", 400),
        ("layer", 400),
        ("layer?layer=conv1&scale=whole", 400),
        ("unit?layer=conv1&unit=99", 400),
        ("unit?layer=conv1&unit=-1", 400),
        ("unit?layer=conv1&unit=1e3", 400),
        ("unit?layer=conv1&unit=999999999999", 400),
        ("attribution?layer=conv1&unit=1&method=nowhere", 400),
        ("attribution?layer=conv1&unit=1&method=occlusion(window=1)", 400),
        ("attribution?layer=conv1&unit=1&method=saliency&place=999,0", 400),
        ("attribution?layer=conv1&unit=99&method=saliency", 400),
        ("growth/7/events", 204),
        ("growth/7/image.png", 404),
    ],
)
def test_what_is_not_there_is_a_sentence(made: Made, path: str, code: int) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        me = await new_viewer(client)
        await client.post(f"{me}/sample/1")
        answer = await client.get(f"{me}/{path}")
        assert answer.status_code == code
        if code != 204:
            assert len(answer.json()["error"]) > 10

    asking(app, work)


@pytest.mark.parametrize(
    "asked",
    [
        {"layer": "conv1", "unit": 99, "preset": "default"},
        {"layer": "conv1", "unit": 1, "preset": "/etc/passwd.toml"},
        {"layer": "conv1", "unit": 1, "preset": "nguyen2016-dgn"},
        {"layer": "conv1", "unit": 1, "preset": "default", "steps": 10**9},
        {"layer": "conv1", "unit": 1, "preset": "default", "size": 100_000},
        {"layer": "conv1", "unit": 1, "preset": "default", "steps": "many"},
        {"layer": "conv1", "unit": None, "preset": "default"},
        {"layer": 3, "unit": 1, "preset": "default"},
        {},
        [],
    ],
    ids=str,
)
def test_a_growth_out_of_bounds_is_refused(made: Made, asked: Any) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post(f"{await new_viewer(client)}/growth", content=json.dumps(asked))
        assert answer.status_code == 400, answer.text

    asking(app, work)


def test_a_page_that_was_forgotten_learns_it(made: Made) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/viewers/nobody/layer?layer=conv1")
        assert (answer.status_code, "load it again" in answer.json()["error"]) == (410, True)

    asking(app, work)


class Listening:
    """A client of server-sent events that goes away when it is asked to."""

    def __init__(self, app: Any, path: str) -> None:
        headers = [(b"host", f"127.0.0.1:{PORT}".encode()), (b"cookie", f"dreamopt-{PORT}={TOKEN}".encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "http_version": "1.1",
            "scheme": "http",
        }
        self.gone, self.text = asyncio.Event(), ""
        self._asked = False
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.text += message.get("body", b"").decode()

    async def until(self, text: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < end, self.text[-300:]
            await asyncio.sleep(0.01)


async def grow(client: httpx.AsyncClient, me: str, **choices: Any) -> str:
    answer = await client.post(f"{me}/growth", content=json.dumps({"layer": "conv2", "unit": 3, "preset": "default", **choices}))
    assert answer.status_code == 200, answer.text
    return f"{me}/growth/{answer.json()['growth']}"


def test_an_image_grows_and_is_there_in_the_end(made: Made) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        path = await grow(client, await new_viewer(client), steps=6, size=32)
        listening = Listening(app, f"{path}/events")
        await listening.until("event: done")
        await asyncio.wait_for(listening.task, 10)
        kinds = [line.removeprefix("event: ") for line in listening.text.splitlines() if line.startswith("event: ")]
        assert kinds[0] == "begun"
        assert kinds[-1] == "done"
        assert "frame" in kinds
        image = await client.get(f"{path}/image.png")
        assert Image.open(io.BytesIO(image.content)).size == (32, 32)
        assert (await client.get(f"{path}/events")).status_code == 204

    asking(app, work)


def test_a_growth_stops_when_its_page_goes_and_no_view_waits_for_it(made: Made) -> None:
    app, views = made

    async def work(client: httpx.AsyncClient) -> None:
        me = await new_viewer(client)
        await client.post(f"{me}/sample/0")
        path = await grow(client, me, steps=4000)
        listening = Listening(app, f"{path}/events")
        await listening.until("event: frame")
        name = path.split("/")[3]
        viewer = views.viewers.of(name)
        assert viewer is not None
        assert viewer.growth is not None
        assert viewer.growth.job is not None
        for layer in ("conv1", "conv2", "scores"):
            assert (await client.get(f"{me}/layer?layer={layer}")).status_code == 200
        assert not viewer.growth.job.future.done()
        listening.gone.set()
        await asyncio.wait_for(listening.task, 10)
        await asyncio.wait_for(asyncio.wrap_future(viewer.growth.job.future), 20)

    asking(app, work)


def test_the_stop_button_keeps_the_image_as_it_is(made: Made) -> None:
    app, _ = made

    async def work(client: httpx.AsyncClient) -> None:
        path = await grow(client, await new_viewer(client), steps=4000, size=40)
        listening = Listening(app, f"{path}/events")
        await listening.until("event: frame")
        await client.post(f"{path}/stop")
        await listening.until("event: done")
        assert '"interrupted": true' in listening.text
        assert (await client.get(f"{path}/image.png")).status_code == 200

    asking(app, work)


def test_a_growth_that_nobody_listens_to_stops(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    app, views = made
    monkeypatch.setattr("dreamopt.explorer.app.UNWATCHED", 0.2)

    async def work(client: httpx.AsyncClient) -> None:
        path = await grow(client, await new_viewer(client), steps=4000)
        viewer = views.viewers.of(path.split("/")[3])
        assert viewer is not None
        assert viewer.growth is not None
        assert viewer.growth.job is not None
        await asyncio.wait_for(asyncio.wrap_future(viewer.growth.job.future), 20)

    asking(app, work)


def test_a_long_attribution_ends_when_its_page_goes(made: Made) -> None:
    app, views = made

    async def work(client: httpx.AsyncClient) -> None:
        me = await new_viewer(client)
        await client.post(f"{me}/sample/0")
        asked = asyncio.create_task(client.get(f"{me}/attribution?layer=conv2&unit=3&method=rise"))
        viewer = views.viewers.of(me.split("/")[3])
        assert viewer is not None
        while viewer.attribution is None:
            await asyncio.sleep(0.01)
        job = viewer.attribution
        # Another question of this page takes its place.
        assert (await client.get(f"{me}/attribution?layer=conv2&unit=3&method=saliency")).status_code == 200
        assert (await asked).status_code == 409
        while not job.future.done():
            await asyncio.sleep(0.01)

    asking(app, work)


def test_ten_viewers_at_once(made: Made) -> None:
    app, _ = made

    async def one(client: httpx.AsyncClient, seed: int) -> str:
        me = await new_viewer(client)
        await client.post(f"{me}/photo?name={seed}.png", content=png(seed=seed))
        texts = []
        for layer in ("conv1", "conv2", "scores"):
            answer = await client.get(f"{me}/layer?layer={layer}")
            assert answer.status_code == 200
            texts.append(answer.json()["sprite"])
        return texts[0]

    async def work(client: httpx.AsyncClient) -> list[str]:
        return list(await asyncio.gather(*(one(client, seed) for seed in range(10))))

    found = asking(app, work)
    assert len(set(found)) == 10
