"""Who may ask: a browser that was led here by another site may not, and beyond this machine only who knows the token."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from hashlib import sha256
from typing import Final

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Names by which a browser reaches this machine. Another name that leads to it (DNS rebinding) is another site's.
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: What the name of a cookie begins with. A browser has the same cookies for all ports of a host, on which other services may be,
#: so each token has a name of its own (`cookie_name`).
COOKIE: Final = "shardwatch_token"
_HEADERS: Final = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
     b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class Admission:
    """Lets requests through to `app`, or refuses them.

    Args:
        hosts: values of the header `Host`, without the port, that are answered; None: all, where no browser comes (a Unix
            socket).
        token: what each request must bring as `Authorization: Bearer TOKEN`, in the cookie that a first request with
            `?token=TOKEN` sets, or not at all if it is None.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, token: str | None) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token
        self._cookie = cookie_name(token or "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            await PlainTextResponse("this host name is not served here\n", 421)(scope, receive, send)
            return
        if self._token is not None and not self._brings_token(headers):
            await self._admit(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _brings_token(self, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(value):
            return True
        # Not by `http.cookies`: a cookie of another program that is not to its taste would hide ours.
        return any(
            self._is_token(cookie_parser(given).get(self._cookie, "")) for given in headers.getlist("cookie")
        )

    def _is_token(self, value: str) -> bool:
        return self._token is not None and secrets.compare_digest(value.encode(), self._token.encode())

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Who brings the token in the address gets a cookie in its place, so that it stays in no address."""
        if self._is_token(QueryParams(scope["query_string"]).get("token", "")):
            admitted = RedirectResponse(scope["path"], 303)
            admitted.set_cookie(self._cookie, str(self._token), httponly=True, samesite="strict")
            await admitted(scope, receive, send)
            return
        refused = PlainTextResponse("a token is needed: `shardwatch web` has printed the address with it\n", 401)
        refused.headers["www-authenticate"] = "Bearer"
        await refused(scope, receive, send)


def cookie_name(token: str) -> str:
    """The name of the cookie in which a browser brings that token. Pure."""
    return f"{COOKIE}_{sha256(token.encode()).hexdigest()[:8]}"


def _host(value: str) -> str:
    """Without the port."""
    if value.startswith("["):
        return value[: value.find("]") + 1]
    return value.partition(":")[0].lower()
