"""Who may ask the studio for anything: requests to its own address, from its own page, with its token."""

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks.environment import LOOPBACK

_PUBLIC = ("/static/", "/favicon.ico")  # our own scripts and styles say nothing about anybody
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",  # the token is part of the address
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """Refuses every request and websocket with a foreign Host or Origin, or without the token.

    A page of somebody else, open in the same browser, can send requests to loopback, also under a name of its own that
    points there (DNS rebinding): such requests have another Host or Origin.
    """

    def __init__(self, app: ASGIApp, token: str, host: str) -> None:
        self._app, self._token, self._hosts = app, token.encode(), {*LOOPBACK, host.lower()}
        self._any_host = host in ("0.0.0.0", "::")  # the machine's names are not known; the token decides

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets through, or answers 403; a websocket is closed before it opens."""
        if scope["type"] == "lifespan" or not (refusal := self._refusal(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": refusal})
        else:
            await PlainTextResponse(f"{refusal}\n", 403, HEADERS)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._any_host and _name(f"//{host}") not in self._hosts:
            return "this address is not the studio's; open the one that the command printed"
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "another page may not use the studio"
        if scope["type"] == "websocket" and origin is None:
            return "a websocket needs an Origin"
        if scope["type"] == "http" and scope["path"].startswith(_PUBLIC):
            return ""
        given: Sequence[str] = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self._token):
            return "wrong token; open the address that gazeworks studio printed"
        return ""


def _name(address: str) -> str:
    """The host of an address without its port; empty if it is none."""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
