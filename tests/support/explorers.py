"""An explorer of the embedded net, and asking it without a network."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

import dreamopt
from dreamopt.explorer.app import Views, make_app
from dreamopt.explorer.atlas_folder import AtlasFolder
from dreamopt.explorer.commands import Commands
from dreamopt.explorer.explorer import Explorer
from dreamopt.image.spectrum import image_files

TOKEN, PORT = "a-token", 4567
ADDRESS = f"http://127.0.0.1:{PORT}"
OWN = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
"""Headers that a browser sends for the page's own requests."""


@contextmanager
def explorer_of(atlas: AtlasFolder | None = None) -> Iterator[tuple[Any, Views]]:
    """Give the application and its handlers; all work is stopped at the end."""
    network = dreamopt.load_net(device="cpu")
    explorer = Explorer(network, Commands("tiny", ("--net", "tiny"), shlex.join), {}, atlas, image_files(None)[:2])
    app, views = make_app(explorer, TOKEN, PORT)
    try:
        yield app, views
    finally:
        views.close()


def asking(app: Any, work: Callable[[httpx.AsyncClient], Awaitable[Any]], *, cookie: str | None = TOKEN) -> Any:
    """Return what a piece of work with a client comes to."""

    async def run() -> Any:
        cookies = {} if cookie is None else {f"dreamopt-{PORT}": cookie}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=ADDRESS, headers=OWN, cookies=cookies, timeout=60
        ) as client:
            return await work(client)

    return asyncio.run(run())


async def new_viewer(client: httpx.AsyncClient) -> str:
    """Return the path of a new viewer."""
    return f"/api/viewers/{(await client.post('/api/viewers')).json()['viewer']}"
