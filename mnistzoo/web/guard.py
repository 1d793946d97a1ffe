"""Who may use the server: programs of this machine, and its own page; no other web page."""

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # after an upgrade the page is the new one
}


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that is bound to this host."""
    return host in _LOOPBACK or host.startswith("127.")


def address(host: str, port: int) -> str:
    """Return the address to open in a browser for a server that is bound to this host."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class Guard:
    """Refuses requests under foreign names and from foreign pages, and sets security headers.

    A page of another site may send requests to 127.0.0.1: its Origin betrays it. Or it lets its
    own name lead here (DNS rebinding): then the Host does.

    Args:
        app: what is guarded.
        host: that the server is bound to. Beyond loopback, addresses and this machine's own names
            are right as well.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {*_LOOPBACK, host.lower()}
        self._any_address = not is_loopback(host)
        if self._any_address:
            own = socket.gethostname().lower()
            self._names |= {own, f"{own}.local", socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as ASGI has it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        app: ASGIApp = self._app
        if refusal := self._refusal(Headers(scope=scope)):
            app = JSONResponse({"error": refusal}, 403)
        return await app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_own(host):
            return "the server is not known by this name; use the address that it printed"
        if origin is not None and origin.partition("://")[2] != host:
            return "another web page may not use this server; open its own page"
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address
