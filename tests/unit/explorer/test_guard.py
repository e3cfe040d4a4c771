"""Who is let in, and what the page may load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support.explorers import ADDRESS, OWN, PORT, TOKEN, asking, explorer_of


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    with explorer_of() as (app, _):
        yield app


def status(app: Any, method: str, path: str, headers: Mapping[str, str | bytes], cookie: str | None = TOKEN) -> int:
    async def work(client: httpx.AsyncClient) -> int:
        client.headers = httpx.Headers(
            [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
        )
        return (await client.request(method, path)).status_code

    return int(asking(app, work, cookie=cookie))


def test_the_token_opens_the_page_and_becomes_a_cookie(app: Any) -> None:
    async def work(client: httpx.AsyncClient) -> httpx.Response:
        client.headers = httpx.Headers({"sec-fetch-site": "none"})
        return await client.get(f"/?token={TOKEN}")

    answer = asking(app, work, cookie=None)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"dreamopt-{PORT}={TOKEN};")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/api/about", "/api/atlas/images/a.png", "/?token=", "/?token=wrong", "/?token=a-toke%00n"]
)
@pytest.mark.parametrize("cookie", [None, "wrong", "", TOKEN[:-1], "é"])
def test_without_the_token_nothing_is_given(app: Any, path: str, cookie: str | None) -> None:
    header = {} if cookie is None else {"cookie": f"dreamopt-{PORT}={cookie}".encode()}
    assert status(app, "GET", path, {**OWN, **header}, None) == 403


def test_a_token_in_another_address_does_not_count(app: Any) -> None:
    assert status(app, "GET", f"/api/about?token={TOKEN}", OWN, None) == 403
    assert status(app, "POST", f"/?token={TOKEN}", OWN, None) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.1.evil.example:{PORT}", ""]
)
def test_another_host_is_refused(app: Any, host: str) -> None:
    assert status(app, "GET", "/api/about", {"host": host}) == 403


def test_the_loopback_has_three_names(app: Any) -> None:
    for name in ("127.0.0.1", "localhost", "[::1]", "LOCALHOST"):
        assert status(app, "GET", "/api/about", {"host": f"{name}:{PORT}"}) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": f"http://localhost:{PORT}"},  # asks this host from another of its names
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": ADDRESS, "sec-fetch-site": "cross-site"},
        {},
    ],
    ids=str,
)
def test_another_origin_changes_nothing(app: Any, headers: dict[str, str]) -> None:
    assert status(app, "POST", "/api/viewers", headers) == 403


def test_another_site_reads_nothing_but_may_link_to_the_page(app: Any) -> None:
    assert status(app, "GET", "/api/about", {"sec-fetch-site": "cross-site"}) == 403
    assert status(app, "GET", f"/?token={TOKEN}", {"sec-fetch-site": "cross-site"}, None) == 200
    assert status(app, "POST", "/api/viewers", OWN) == 200


def test_every_answer_says_what_the_page_may_load(app: Any) -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.get(path) for path in ("/", "/static/app.js", "/api/about", "/nowhere", "/static/../explorer.py")]

    answers = asking(app, work)
    assert [one.status_code for one in answers] == [200, 200, 200, 404, 404]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
    page = answers[0].text
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=|https?://", page)


def test_there_are_no_other_methods_and_no_documentation_of_a_framework(app: Any) -> None:
    for path in ("/docs", "/openapi.json", "/static/", "/static/app.js/"):
        assert status(app, "GET", path, OWN) in (404, 307)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert status(app, method, "/api/viewers", OWN) == 405
