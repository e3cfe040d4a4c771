"""One request over HTTP, of a server that may be anybody's: redirects, headers and pace are checked, and every fault is a sentence."""

from __future__ import annotations

import contextlib
import functools
import http.client
import re
import socket
import string
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from dreamopt.errors import ModelError, printable
from dreamopt.version import __version__

SLOWEST = 4096
"""Bytes per second that must arrive on average in each span of ``timeout`` seconds."""
CHUNK = 1 << 18
MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_SHOWN = 200


class BrokenTransferError(Exception):
    """A passing fault: what arrived so far is kept, and the next attempt goes on from there."""


class RangeRefusedError(Exception):
    """The answer 416, with its Content-Range."""


class Pace:
    """Cuts the connections of an attempt when too little arrives in a span of time, be it of the headers, of the body or behind it.

    A time limit of the socket does not do this: one byte now and then keeps it waiting for ever.

    Parameters
    ----------
    span : float
        Seconds.
    """

    def __init__(self, span: float) -> None:
        self.span = span
        self.done = 0
        """Bytes that arrived so far; whoever reads them counts them here."""
        self.cut = False
        self._sockets: list[socket.socket] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for connection in self._sockets:
            connection.close()

    def connect(self, *arguments: Any, **options: Any) -> socket.socket:
        """Open a connection as `socket.create_connection` does, and watch it."""
        connection = socket.create_connection(*arguments, **options)
        # A second handle of the same connection: TLS takes the first one over before its handshake.
        self._sockets.append(connection.dup())
        return connection

    def _watch(self) -> None:
        before = 0
        while not self._over.wait(self.span):
            if self.done - before < SLOWEST * self.span:
                self.cut = True
                for connection in self._sockets:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                return
            before = self.done


class _Watched:
    """What makes a connection of `http.client` one that a `Pace` watches."""

    def __init__(self, *arguments: Any, pace: Pace, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = pace.connect  # as http.client's own constructor sets it


class _HTTPConnection(_Watched, http.client.HTTPConnection):
    pass


class _HTTPSConnection(_Watched, http.client.HTTPSConnection):
    pass


class _HTTP(urllib.request.HTTPHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_HTTPConnection, pace=self._pace), req)


class _HTTPS(urllib.request.HTTPSHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_HTTPSConnection, pace=self._pace), req)


def _opener(pace: Pace) -> urllib.request.OpenerDirector:
    """Return an opener of http and https alone, through the proxies of the environment; it follows no redirects."""
    opener = urllib.request.OpenerDirector()
    handlers = (urllib.request.ProxyHandler, urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor)
    for handler in (*(kind() for kind in handlers), _HTTP(pace), _HTTPS(pace)):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def answer(url: str, headers: Mapping[str, str], pace: Pace) -> Iterator[http.client.HTTPResponse]:
    """Ask for an address, follow its redirects, and yield the response, whose body is for `chunks` to read.

    Raises
    ------
    ModelError
        For an address that is none, a redirect that leads nowhere, round, or out of https, and a lasting refusal of the server.
    BrokenTransferError
        For faults that may pass.
    RangeRefusedError
        For the answer 416: the range that was asked for is not there.
    """
    headers = {"User-Agent": f"dreamopt/{__version__}", "Accept-Encoding": "identity"} | dict(headers)
    with _faults(url, pace):
        response = _followed(url, headers, pace)
    with response:
        yield response


def chunks(response: http.client.HTTPResponse, url: str, pace: Pace) -> Iterator[bytes]:
    """Yield a response's body as it arrives, with the errors of `answer`."""
    while True:
        with _faults(url, pace):
            # Not read(): it waits until so many bytes are there.
            chunk = response.read1(CHUNK)
        if not chunk:
            break
        pace.done += len(chunk)
        yield chunk
    if pace.cut:
        raise BrokenTransferError(_too_slow(pace))


def _followed(url: str, headers: Mapping[str, str], pace: Pace) -> http.client.HTTPResponse:
    opener, address = _opener(pace), checked_address(url)
    for _ in range(MOST_REDIRECTS + 1):
        try:
            response = opener.open(urllib.request.Request(address, headers=dict(headers)), timeout=pace.span)
            assert isinstance(response, http.client.HTTPResponse)
            return response
        except urllib.error.HTTPError as error:
            with error:  # its body may be endless: it is not read
                if error.code not in _REDIRECTS:
                    raise
                address = _redirected(url, address, error.headers.get("Location"))
    raise ModelError(f"{url} leads from address to address: more than {MOST_REDIRECTS} redirects")


@contextlib.contextmanager
def _faults(url: str, pace: Pace) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        if error.code == 416:
            raise RangeRefusedError(str(error.headers.get("Content-Range", ""))) from error
        said = f"answered {error.code} {printable(error.reason, _SHOWN)}".rstrip()
        raise (BrokenTransferError(f"the server {said}") if error.code in _PASSING else ModelError(f"{url} {said}.")) from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenTransferError(_broken(error, pace)) from error
    except ValueError as error:  # what http.client and email do not expect of a server
        raise ModelError(f"{url} gave an answer that is not HTTP: {printable(error, _SHOWN)}") from error


def _too_slow(pace: Pace) -> str:
    return f"fewer than {SLOWEST} bytes a second came in {pace.span:g} seconds"


def _broken(error: Exception, pace: Pace) -> str:
    if pace.cut:
        return _too_slow(pace)
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({printable(error.reason, _SHOWN)})"
    return f"the connection broke ({printable(error, _SHOWN) or type(error).__name__})"


def _redirected(url: str, address: str, location: str | None) -> str:
    if not location:
        raise ModelError(f"{url} is a redirect that does not say where it leads")
    try:
        # http.client has read its bytes as Latin-1.
        quoted = urllib.parse.quote(location, safe=string.punctuation, encoding="iso-8859-1", errors="replace")
        target = checked_address(urllib.parse.urljoin(address, quoted))
    except (ModelError, ValueError) as error:
        raise ModelError(f"{url} leads to {printable(location, _SHOWN)!r}, which is not an http or https address") from error
    if address.startswith("https:") and not target.startswith("https:"):
        raise ModelError(f"{url} leads from https to {printable(target, _SHOWN)}, which anybody on the way could change")
    return target


def checked_address(url: str) -> str:
    """Return an http or https address in ASCII, as it can be asked for.

    Raises
    ------
    ModelError
        For another scheme, or what is no address.

    Examples
    --------
    >>> checked_address("HTTP://example.org/a b")
    'http://example.org/a%20b'
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise ValueError("no http or https")
        host = host if host.isascii() else host.encode("idna").decode("ascii")
        if not re.fullmatch(r"[\w.:-]+", host, re.ASCII):
            raise ValueError("no name of a host")
    except ValueError as error:
        raise ModelError(f"{url} is not an http or https address.") from error
    place = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=?~")
    return urllib.parse.urlunsplit((parts.scheme, place, path or "/", query, ""))
