"""What the request `dead` answers: the paths that a group has set aside. Pure."""

from __future__ import annotations

import base64
import os

import msgspec
from msgspec import UNSET, UnsetType


class DeadLetter(msgspec.Struct):
    """A path that a group has set aside, because it failed alone as often as is tried."""

    #: It can be opened, whatever bytes it consists of.
    path: str
    is_directory: bool
    #: What the group was told of it: created, modified or deleted. None: an earlier version has set it aside.
    event_type: str | None
    #: How often it failed alone.
    attempts: int
    #: Why it failed last.
    reason: str
    #: When that was, seconds since 1970. None: an earlier version has set it aside.
    failed_at: float | None
    tick: int
    #: The end of what the worker had written by then, as far as it said so and that is still kept; else "".
    output: str = ""
    path_b64: str | UnsetType = UNSET


class DeadPage(msgspec.Struct):
    """A part of them."""

    dead: list[DeadLetter]
    #: For the next request, in base64; None: there are no more.
    after_b64: str | None


_decoder = msgspec.msgpack.Decoder(DeadPage)


def decode_dead(body: bytes) -> DeadPage:
    """The reply, with exact paths."""
    page = _decoder.decode(body)
    for letter in page.dead:
        if letter.path_b64 is not UNSET:
            letter.path = os.fsdecode(base64.b64decode(letter.path_b64))
    return page
