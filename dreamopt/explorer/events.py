"""A growth as server-sent events, as long as the page listens."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from dreamopt.explorer.growth import Growth
from dreamopt.explorer.photo import webp_bytes

BEAT = 10.0
"""Seconds after which a comment is sent where there is nothing else, so that a connection that is gone is noticed."""


class GrowthEvents:
    """An answer that says how an image grows; when the page goes, the growth stops.

    Parameters
    ----------
    growth : Growth
        Whose events.
    """

    def __init__(self, growth: Growth) -> None:
        self._growth = growth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the growth has ended, or the client is gone."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(changed.set)

        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(_until_gone(receive))
        self._growth.watch(notify)
        try:
            while not gone.done():
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait({waiting, gone}, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                changed.clear()
                events = self._growth.events()
                body = "".join([await asyncio.to_thread(_as_text, event) for event in events]) or ": still here\n\n"
                await send({"type": "http.response.body", "body": body.encode(), "more_body": True})
                if any(event["kind"] in ("done", "failed") for event in events):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
        except OSError:  # the connection broke while we wrote
            pass
        finally:
            gone.cancel()
            self._growth.stop()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _as_text(event: Mapping[str, Any]) -> str:
    """Return an event as lines: its kind, and JSON with the image as the bytes of a WebP file in base64."""
    facts = {name: value for name, value in event.items() if name != "kind"}
    if "image" in facts:
        facts["image"] = base64.b64encode(webp_bytes(facts["image"])).decode("ascii")
    if isinstance(facts.get("value"), float) and not math.isfinite(facts["value"]):
        facts["value"] = None
    return f"event: {event['kind']}\ndata: {json.dumps(facts)}\n\n"
