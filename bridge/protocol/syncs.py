"""What a consumer asks of whoever ships a source: until when it is shipped, or to have all of it told again."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class SyncRequest(Struct):
    """Answer once every change made before this is in the stream."""

    timeout_ms: int = 0
    #: Not None: answer at once instead, and begin a generation above this one, unless one has begun.
    above: int | None = None


class Watermark(Struct):
    """Every change made before the request is in the stream, at or below `sequence`."""

    source: str
    generation: int
    #: The highest tick that was shipped.
    tick: int
    #: Of the stream.
    sequence: int


class SyncReply(Struct):
    """A watermark, or why there is none, and what to do. Where a generation was asked for: the last one that has begun."""

    watermark: Watermark | None = None
    generation: int = 0
    #: The generation that was asked for has not begun, but will.
    is_coming: bool = False
    error: str = ""
    remedy: str = ""


_request = msgspec.json.Decoder(SyncRequest)
_reply = msgspec.json.Decoder(SyncReply)


def encode_sync(body: SyncRequest | SyncReply) -> bytes:
    return msgspec.json.encode(body)


def decode_sync_request(body: bytes) -> SyncRequest | None:
    """None where it is none of ours."""
    try:
        return _request.decode(body)
    except msgspec.MsgspecError:
        return None


def decode_sync_reply(body: bytes) -> SyncReply:
    """A reply that is none of ours is an error."""
    try:
        return _reply.decode(body)
    except msgspec.MsgspecError:
        return SyncReply(error="the answer can't be read", remedy="use the same version of shardwatch everywhere")
