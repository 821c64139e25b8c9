"""Replies of the service: which request one answers, and what it says. Pure, and light to load."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from shardwatch.shard.contract.errors import ServiceError

from ..protocol.codes import RETRYABLE


class RequestError(ServiceError):
    """The service refused a request. `code` is stable (docs/protocol.md); `fields` is the whole reply."""

    def __init__(self, code: str, message: str, hint: str, fields: dict[str, Any]) -> None:
        super().__init__(message, hint=hint, retryable=code in RETRYABLE)
        self.code = code
        self.fields = fields


class _Reply(msgspec.Struct):
    """What a reply of any op has; the body is decoded again where more is needed."""

    id: int | None = None
    ok: bool = False
    error: str = ""
    message: str = ""
    remedy: str = ""


#: The beginning of a reply that is no error, as the service writes it: `v`, `id` and `ok`, in this order. A reply may carry
#: thousands of events, and to find `id` by decoding it is to pass over all of them. One that begins in another way is decoded.
_GOOD: Final = re.compile(rb"[\x80-\x8f]\xa1v[\x00-\x7f]\xa2id(?:\xce(.{4})|\xcf(.{8}))\xa2ok\xc3", re.DOTALL)

_reply = msgspec.msgpack.Decoder(_Reply)
_any: Any = msgspec.msgpack.Decoder()


def decode(body: bytes) -> dict[str, Any]:
    """The reply as a map."""
    reply: dict[str, Any] = _any.decode(body)
    return reply


def number_of(body: bytes) -> int | None:
    """The number of the request that it is the reply to; None: it is no reply to one of ours."""
    good = _GOOD.match(body)
    if good is not None:
        return int.from_bytes(good[1] or good[2], "big")
    try:
        return _reply.decode(body).id
    except msgspec.MsgspecError:
        return None


def checked(body: bytes) -> bytes:
    """The body of a reply that is no error. Raises RequestError."""
    if _GOOD.match(body) is not None:
        return body
    reply = _reply.decode(body)
    if not reply.ok:
        raise RequestError(reply.error, reply.message, reply.remedy, decode(body))
    return body
