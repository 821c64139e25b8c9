"""How a consumer asks until when a source is shipped: a request to whoever ships it, and what is answered."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class SyncRequest(Struct):
    """Answer once every change made before this is in the stream."""

    timeout_ms: int


class Watermark(Struct):
    """Every change made before the request is in the stream, at or below `sequence`."""

    source: str
    generation: int
    #: The highest tick that was shipped.
    tick: int
    #: Of the stream.
    sequence: int


class SyncReply(Struct):
    """A watermark, or why there is none, and what to do."""

    watermark: Watermark | None = None
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
