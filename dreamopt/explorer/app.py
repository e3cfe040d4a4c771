"""The explorer as a web application: requests in, JSON and images out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from dreamopt.atlas.site.environment import static
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.explorer.events import GrowthEvents
from dreamopt.explorer.explorer import Explorer, is_brief, method_of
from dreamopt.explorer.faults import report
from dreamopt.explorer.guard import Guard
from dreamopt.explorer.jobs import Jobs, LongJob, StoppedError
from dreamopt.explorer.photo import LARGEST_BODY, Photo, file_name
from dreamopt.explorer.viewers import Viewer, Viewers

DRAWINGS = "drawings.css"
"""The file that the pages of an atlas have too."""
STATIC = {
    "app.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "grid.js": "text/javascript; charset=utf-8",
    "unit.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    DRAWINGS: "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of the page, and what they are."""
UNWATCHED = 15.0
"""Seconds that a growth goes on though nobody listens to its events."""
_LARGEST_JSON = 2**16
_GONE = 410
Handler = Callable[[Request], Awaitable[Response]]


class _NoViewerError(Exception):
    """The page is not known any more."""


class Views:
    """The handlers of all addresses.

    Parameters
    ----------
    explorer : Explorer
        What is shown.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, self.jobs, self.viewers = explorer, Jobs(), Viewers()

    def close(self) -> None:
        """Stop all work."""
        self.jobs.close()

    async def page(self, request: Request) -> Response:
        """Return the page itself."""
        return Response(_static("index.html"), media_type="text/html")

    async def static(self, request: Request) -> Response:
        """Return one of the page's files."""
        name = request.path_params["name"]
        if name not in STATIC:
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(_static(name), headers={"content-type": STATIC[name]})

    async def about(self, request: Request) -> Response:
        """Return what the page needs once."""
        return await _answered(request, self.jobs.brief("", self.explorer.about))

    async def add_viewer(self, request: Request) -> Response:
        """Name a page that was opened."""
        return JSONResponse({"viewer": self.viewers.add().name})

    async def photo(self, request: Request) -> Response:
        """Take a photograph: the request's body is the file."""
        viewer, name = self._viewer(request), file_name(request.query_params.get("name", ""))
        number = viewer.next_number()
        content = await _body(request, LARGEST_BODY, "the photograph")
        network = self.explorer.network
        # The latest wins: of a webcam's frames, those that wait are left out.
        return await self._brief(
            request, viewer, lambda: self.explorer.open_photo(viewer, lambda: Photo.of_bytes(network, content, number, name)), "photo"
        )

    async def sample(self, request: Request) -> Response:
        """Show one of the photographs that are there."""
        viewer, index = self._viewer(request), _whole(request.path_params["index"], "the photograph's number")
        if index >= len(self.explorer.samples):
            raise UsageError(f"there are {len(self.explorer.samples)} photographs to choose from")
        path, number = self.explorer.samples[index], viewer.next_number()
        return await self._brief(
            request, viewer, lambda: self.explorer.open_photo(viewer, lambda: Photo.open(self.explorer.network, path, number)), "photo"
        )

    async def layer(self, request: Request) -> Response:
        """Return the activations of a layer's units."""
        viewer, layer, scale = self._viewer(request), _given(request, "layer"), request.query_params.get("scale", "layer")
        return await self._brief(request, viewer, lambda: self.explorer.layer(viewer, layer, scale), "layer")

    async def unit(self, request: Request) -> Response:
        """Return a unit's map, value and field."""
        viewer, layer, unit = self._viewer(request), _given(request, "layer"), _whole(_given(request, "unit"), "the unit")
        return await self._brief(request, viewer, lambda: self.explorer.unit(viewer, layer, unit), "unit")

    async def attribution(self, request: Request) -> Response:
        """Return what in the photograph a unit answers to."""
        viewer, layer, unit = self._viewer(request), _given(request, "layer"), _whole(_given(request, "unit"), "the unit")
        method, place = method_of(_given(request, "method")), _place(request.query_params.get("place"))
        photo, explorer = viewer.shown(), self.explorer
        if viewer.attribution is not None:
            viewer.attribution.stop()
        if is_brief(method):
            return await self._brief(request, viewer, lambda: explorer.attribution(photo, layer, unit, method, place, None), "attribution")
        job = self.jobs.long(lambda job: explorer.attribution(photo, layer, unit, method, place, lambda _: job.check()), at_once=True)
        viewer.attribution = job
        return await _answered(request, job.future, job)

    async def grow(self, request: Request) -> Response:
        """Begin the growth of a unit's image; it goes on while its events are listened to."""
        viewer, asked = self._viewer(request), await _json(request)
        if not isinstance(asked.get("layer"), str) or not isinstance(asked.get("preset"), str):
            raise UsageError("name a layer, a unit and a preset")
        unit = _whole(str(asked.get("unit")), "the unit")
        making = self.jobs.brief(viewer.name, lambda: self.explorer.growth(asked["layer"], unit, asked["preset"], asked))
        growth, about = await asyncio.wrap_future(making)
        if viewer.growth is not None:
            viewer.growth.stop()
        name = str(viewer.next_number())
        viewer.growth, viewer.growth_name = growth, name
        growth.job = self.jobs.long(growth.run)
        asyncio.get_running_loop().call_later(UNWATCHED, lambda: None if growth.is_watched else growth.stop())
        return JSONResponse({"growth": name, "waits": self.jobs.waits(growth.job), **about})

    async def growth_events(self, request: Request) -> Any:
        """Return how the image grows, as it does."""
        viewer = self._viewer(request)
        growth = viewer.growth
        if growth is None or viewer.growth_name != request.path_params["growth"] or growth.is_watched:
            return Response(status_code=204)  # which tells the browser not to ask again
        return GrowthEvents(growth)

    async def stop_growth(self, request: Request) -> Response:
        """Stop the growth, with the image as it is."""
        viewer = self._viewer(request)
        if viewer.growth is not None and viewer.growth_name == request.path_params["growth"]:
            viewer.growth.stop()
        return JSONResponse({})

    async def growth_image(self, request: Request) -> Response:
        """Return the finished image's file."""
        viewer = self._viewer(request)
        if viewer.growth is None or viewer.growth_name != request.path_params["growth"] or viewer.growth.png is None:
            return JSONResponse({"error": "the image is not there, or not finished"}, 404)
        return Response(viewer.growth.png, media_type="image/png")

    async def atlas_file(self, request: Request) -> Response:
        """Return an image of the atlas."""
        if self.explorer.atlas is None:
            return JSONResponse({"error": "there is no atlas: start with --atlas"}, 404)
        content, kind = await asyncio.to_thread(self.explorer.atlas.file, request.path_params["name"])
        return Response(content, headers={"content-type": kind})

    def _viewer(self, request: Request) -> Viewer:
        viewer = self.viewers.of(request.path_params["viewer"])
        if viewer is None:
            raise _NoViewerError
        return viewer

    async def _brief(self, request: Request, viewer: Viewer, work: Callable[[], Any], kind: str) -> Response:
        return await _answered(request, self.jobs.brief(viewer.name, work, kind))


def make_app(explorer: Explorer, token: str, port: int) -> tuple[ASGIApp, Views]:
    """Return the application behind its guard, and its handlers, which are closed when all is over."""
    views, of = Views(explorer), "/api/viewers/{viewer}"
    routes = [
        _route("/", views.page),
        _route("/static/{name}", views.static),
        _route("/api/about", views.about),
        _route("/api/viewers", views.add_viewer, "POST"),
        _route(f"{of}/photo", views.photo, "POST"),
        _route(f"{of}/sample/{{index}}", views.sample, "POST"),
        _route(f"{of}/layer", views.layer),
        _route(f"{of}/unit", views.unit),
        _route(f"{of}/attribution", views.attribution),
        _route(f"{of}/growth", views.grow, "POST"),
        _route(f"{of}/growth/{{growth}}/events", views.growth_events),
        _route(f"{of}/growth/{{growth}}/stop", views.stop_growth, "POST"),
        _route(f"{of}/growth/{{growth}}/image.png", views.growth_image),
        _route("/api/atlas/{name:path}", views.atlas_file),
    ]
    return Guard(Starlette(routes=routes), token, port), views


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except DreamoptError as problem:
            return JSONResponse({"error": str(problem)}, 400)
        except _NoViewerError:
            return JSONResponse({"error": "this page was forgotten: load it again"}, _GONE)
        except (CancelledError, StoppedError, ClientDisconnect):
            return JSONResponse({"error": "something later was asked for"}, 409)
        except Exception as problem:
            return JSONResponse({"error": report(problem)}, 500)

    return Route(path, answer, methods=[method])


async def _answered(request: Request, future: Future[Any], job: LongJob | None = None) -> Response:
    """Return what comes of a piece of work; where the client goes meanwhile, the work is cancelled, or stopped after its step."""
    result = asyncio.wrap_future(future)
    gone = asyncio.create_task(_gone(request))
    await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not result.done():
        result.cancel()  # which cancels the future, unless it runs
        if job is not None:
            job.stop()
        raise StoppedError
    if result.cancelled():
        raise StoppedError
    return JSONResponse(result.result())


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, most: int, what: str) -> bytes:
    """Return a request's body; UsageError as soon as it is too long."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise UsageError(f"{what} has more than {most // 2**20} MiB, the most that is taken from a page")
        parts.append(part)
    return b"".join(parts)


async def _json(request: Request) -> dict[str, Any]:
    content = await _body(request, _LARGEST_JSON, "the request")
    try:
        asked = json.loads(content)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise UsageError("the request is no JSON object")
    return asked


def _given(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if value is None:
        raise UsageError(f"the address lacks {name}=")
    return value


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"{what} must be a whole number, not {text[:40]!r}")
    return int(text)


def _place(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    row, _, column = text.partition(",")
    return _whole(row, "the place's row"), _whole(column, "the place's column")


def _static(name: str) -> bytes:
    if name == DRAWINGS:
        return static(name).encode()
    return resources.files("dreamopt.explorer").joinpath("static", name).read_bytes()
