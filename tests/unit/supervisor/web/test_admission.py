"""Who may ask for the page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from shardwatch.supervisor.web.admission import LOOPBACK, Admission, cookie_name

TOKEN = "a-token-of-some-length"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"page {Request(scope).url.path}")(scope, receive, send)


def ask(admission: Admission, target: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
    """One request, as a server would hand it over."""
    path, _, query = target.partition("?")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"host": "localhost", **(headers or {})}
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    asyncio.run(admission(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]).decode())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machine_by_its_names(host: str) -> None:
    """Each answer forbids the browser what the page does not need."""
    found = ask(Admission(page, LOOPBACK, None), headers={"host": host})
    assert found.status == 200
    assert "default-src 'none'" in found.headers["content-security-policy"]
    assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[::2]:8000", "[::1"])
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    """Another site's page can't read ours by giving this machine a name of its own."""
    found = ask(Admission(page, LOOPBACK, None), headers={"host": host})
    assert found.status == 421
    assert "page" not in found.text


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", {}),
        ("/?token=wrong", {}),
        ("/?token=", {}),
        ("/", {"authorization": "Bearer wrong"}),
        ("/", {"authorization": f"Basic {TOKEN}"}),
        ("/", {"authorization": "Bearer"}),
        ("/", {"cookie": f"{cookie_name(TOKEN)}=wrong"}),
        ("/", {"cookie": f"other={TOKEN}"}),
    ],
)
def test_who_brings_no_token_is_refused(target: str, headers: dict[str, str]) -> None:
    """Whatever is brought in its place."""
    found = ask(Admission(page, None, TOKEN), target, headers)
    assert found.status == 401
    assert "page" not in found.text
    assert found.headers["www-authenticate"] == "Bearer"


def test_a_token_in_the_header_or_in_the_cookie_that_follows_the_address() -> None:
    """The browser is led away from the address with the token, so that it stays in no history."""
    admission = Admission(page, None, TOKEN)
    assert ask(admission, "/metrics", {"authorization": f"bearer {TOKEN}"}).text == "page /metrics"
    led = ask(admission, f"/?token={TOKEN}")
    assert led.status == 303
    assert led.headers["location"] == "/"
    cookie = led.headers["set-cookie"]
    assert {"httponly", "samesite=strict"} <= set(cookie.lower().split("; "))
    assert ask(admission, "/", {"cookie": cookie.partition(";")[0]}).text == "page /"
    # What other programs on other ports of the same host have set, which the browser brings, too.
    for other in ('a={"x": 1}', "flag", "x[]=1", 'half="', f"{cookie_name('another-token-of-theirs')}=another-token-of-theirs"):
        for brought in (f"{other}; {cookie.partition(';')[0]}", f"{cookie.partition(';')[0]}; {other}"):
            assert ask(admission, "/", {"cookie": brought}).status == 200, brought
