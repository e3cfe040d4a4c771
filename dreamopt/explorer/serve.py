"""Serving the page on this machine alone."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from types import FrameType

import uvicorn

from dreamopt.errors import UsageError
from dreamopt.explorer.app import make_app
from dreamopt.explorer.explorer import Explorer

LOOPBACK = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that ends what it streams when it is asked to end; uvicorn's own waits for it."""

    on_exit: Callable[[], None] = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End all growths, and then as uvicorn does."""
        self.on_exit()
        super().handle_exit(sig, frame)


def serve(explorer: Explorer, port: int = 0, *, say: Callable[[str], None] = print, browser: bool = False) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    explorer : Explorer
        What is shown.
    port : int
        0 for any that is free.
    say : callable
        Gets the address, with its token, once the port is open.
    browser : bool
        Whether the address is opened in a browser, where there is a desktop.

    Raises
    ------
    UsageError
        For a port that is taken, or not allowed.
    KeyboardInterrupt
        At Ctrl-C, when all has ended.
    """
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as problem:
        raise UsageError(f"port {port} cannot be opened ({problem.strerror or problem}); --port 0 takes any that is free") from problem
    with listening:
        port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        app, views = make_app(explorer, token, port)
        config = uvicorn.Config(
            app, log_level="critical", access_log=False, lifespan="off", ws="none", server_header=False, timeout_graceful_shutdown=3
        )
        server = _Server(config)
        server.on_exit = views.viewers.leave
        address = f"http://{LOOPBACK}:{port}/?token={token}"
        say(address)
        if browser and has_desktop():
            webbrowser.open(address)
        try:
            server.run(sockets=[listening])
        finally:
            views.close()


def has_desktop() -> bool:
    """Return whether there is a desktop to open a browser on: one for terminals would take this one."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
