"""Who is let in: the one page that this program's address was given to, on this machine."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types findings"
)
"""What a page may load: what came from here, nothing written into the page itself, and of markup an atlas's findings alone, made here."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guard:
    """Refuse whoever does not know the token, names another host, or comes from another origin.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str
        Known to who reads this program's output. It opens the page once, as ``/?token=``; then a cookie has it, which no other site's
        page and no script can use or read.
    port : int
        Where the program listens. The header ``Host`` must name the loopback at this port: a foreign name that was made to lead
        here (DNS rebinding) is refused.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost", "[::1]"}
        self._cookie = f"dreamopt-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; every answer has `HEADERS`."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets
        headers = Headers(scope=scope)
        opens = scope["path"] == "/" and scope["method"] == "GET" and self._is_token(_of_query(scope))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    if name not in answer:
                        answer[name] = value
                if opens:
                    answer.append("set-cookie", f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        refusal = self._refusal(scope, headers, opens)
        if refusal:
            await PlainTextResponse(f"{refusal}\n", 403)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, opens: bool) -> str:
        """Return why a request is refused, or nothing."""
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or host not in self._hosts:
            return "This address is not the explorer's own: open the one that dreamopt printed."
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        reads = scope["method"] in ("GET", "HEAD")
        if origin is not None and origin.lower() != f"http://{host}":
            return "A page of another origin asks: refused."
        # An address that is typed or opened from a terminal has no site; a link on another page has, and may open the page alone.
        if site is not None and site != "same-origin" and not (reads and site == "none") and not opens:
            return "A page of another site asks: refused."
        if not reads and origin is None and site is None:
            return "It does not say which page asks: refused."
        if not opens and not self._is_token(self._of_cookie(headers)):
            return "The token is missing or wrong: open the address that dreamopt printed."
        return ""

    def _of_cookie(self, headers: Headers) -> str:
        for header in headers.getlist("cookie"):
            try:
                found = SimpleCookie(header).get(self._cookie)
            except CookieError:
                continue
            if found is not None:
                return found.value
        return ""

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())


def _of_query(scope: Scope) -> str:
    try:
        found = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=8)
    except (UnicodeDecodeError, ValueError):
        return ""
    tokens: list[str] = found.get("token", [""])
    return tokens[0]
