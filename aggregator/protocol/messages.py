"""The messages of the extract socket: their fields, and how they are encoded (docs/protocol.md is the reference).

The service and every client import this module, so it imports little. It never uses a socket or a file.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shardwatch.shard.contract.files.paths import are_exact, is_exact
from shardwatch.shard.contract.input.shown import cut, shown

from .bounds import (
    ACK_TICKS_MAX,
    CURSOR_CHARS_MAX,
    ID_BYTES_MAX,
    ID_DEPTH_MAX,
    NAME_CHARS_MAX,
    ONCE_MAX,
    PATH_B64_CHARS_MAX,
    PATHS_MAX,
    PROTOCOL_VERSION,
    REQUEST_BYTES_MAX,
)

_Name = Annotated[str, Meta(max_length=NAME_CHARS_MAX)]
_Id = Annotated[str, Meta(max_length=NAME_CHARS_MAX)]
#: A batch that is acknowledged with another request; null: none, and the reply tells whether the service knows the field.
_Carried = _Id | UnsetType | None
#: Where a group begins that is made.
_Begin = Literal["now", "start", "fresh"]
_Wait = Annotated[int, Meta(ge=0)]
_Lease = Annotated[int, Meta(ge=1)]
_Once = Annotated[int, Meta(ge=1, le=ONCE_MAX)]
#: Exact bytes in base64.
_Path = Annotated[str, Meta(max_length=PATH_B64_CHARS_MAX)]
_Ticks = Annotated[list[int], Meta(max_length=ACK_TICKS_MAX)]
_Paths = Annotated[list[_Path], Meta(max_length=PATHS_MAX)]


class Event(Struct, tag_field="type", tag="event", gc=False):
    """One change, as it travels and as `watch --json` prints it.

    On the wire `path` is UTF-8, with replacement characters where the bytes are not; then `path_b64` has the exact bytes.
    The clients put the exact path (`os.fsdecode`) into `path`, so that it can be opened.
    """

    #: created | modified | deleted | moved
    event_type: str
    path: str
    is_directory: bool
    #: Bytes; None of a deleted path.
    size: int | None
    #: Nanoseconds since 1970; None of a deleted path.
    mtime_ns: int | None
    #: The index's change number.
    tick: int
    #: Wall clock of the look that found the change, seconds since 1970.
    observed_at: float
    path_b64: str | UnsetType = UNSET
    moved_from: str | UnsetType = UNSET
    moved_from_b64: str | UnsetType = UNSET


class Fresh(Struct, tag_field="type", tag="fresh", gc=False):
    """Forget everything: every present file follows as `created`. It is alone in its batch."""

    tick: int
    reason: str


class Hello(Struct):
    op: ClassVar = "hello"


class Pull(Struct, rename={"from_": "from"}):
    op: ClassVar = "pull"
    group: _Name
    max: Annotated[int, Meta(ge=1)] | None = None
    wait_ms: _Wait | None = None
    from_: _Begin | None = None
    peek: bool = False
    worker: _Name = ""
    lease_ms: _Lease | None = None
    ahead: bool = False
    ack: _Carried = UNSET
    once: _Once | None = None


class Ack(Struct):
    op: ClassVar = "ack"
    group: _Name
    batch: _Id
    ticks: _Ticks | None = None
    begin: bool = False
    lease_ms: _Lease | None = None


class Nack(Struct):
    op: ClassVar = "nack"
    group: _Name
    batch: _Id
    reason: str = ""
    retry_ms: _Wait | None = None
    output: str = ""
    ticks: _Ticks | None = None


class Release(Struct):
    op: ClassVar = "release"
    group: _Name
    batch: _Id | None = None
    worker: _Name | None = None


class Extend(Struct):
    op: ClassVar = "extend"
    group: _Name
    batch: _Id
    lease_ms: _Lease | None = None


class Seek(Struct):
    op: ClassVar = "seek"
    group: _Name
    tick: Annotated[int, Meta(ge=0)] | Literal["start", "now"] | None = None
    at: Annotated[float, Meta(ge=0)] | None = None


class Since(Struct):
    op: ClassVar = "since"
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS_MAX)] | None = None
    max: Annotated[int, Meta(ge=1)] | None = None


class Dead(Struct):
    op: ClassVar = "dead"
    group: _Name
    path_b64: _Path | None = None
    after_b64: _Path | None = None
    max: Annotated[int, Meta(ge=1)] | None = None
    output: bool = False


class Retry(Struct):
    op: ClassVar = "retry"
    group: _Name
    paths_b64: _Paths | None = None


class Discard(Struct):
    op: ClassVar = "discard"
    group: _Name
    paths_b64: _Paths | None = None


class Reset(Struct):
    op: ClassVar = "reset"
    group: _Name


class Groups(Struct):
    op: ClassVar = "groups"


class Create(Struct, rename={"from_": "from"}):
    op: ClassVar = "create"
    group: _Name
    from_: _Begin = "now"


class Drop(Struct):
    op: ClassVar = "drop"
    group: _Name


class Sync(Struct):
    op: ClassVar = "sync"
    timeout_ms: _Wait | None = None


class Wait(Struct):
    op: ClassVar = "wait"
    group: _Name
    timeout_ms: _Wait | None = None


class Look(Struct):
    op: ClassVar = "look"
    paths_b64: _Paths


class Explain(Struct):
    op: ClassVar = "explain"
    path_b64: _Path


class Hold(Struct):
    op: ClassVar = "hold"
    name: _Name
    lease_ms: _Lease


class Unhold(Struct):
    op: ClassVar = "unhold"
    name: _Name


class Status(Struct):
    op: ClassVar = "status"


class Ready(Struct):
    op: ClassVar = "ready"
    wait_ms: _Wait | None = None


Request = (
    Hello | Pull | Ack | Nack | Release | Extend | Seek | Retry | Reset | Groups | Drop | Sync | Look | Status | Ready | Hold
    | Unhold | Since | Create | Dead | Discard | Explain
    | Wait
)
REQUESTS: Final[dict[str, type[Any]]] = {
    kind.op: kind
    for kind in (
        Hello, Pull, Ack, Nack, Release, Extend, Seek, Retry, Reset, Groups, Drop, Sync, Look, Status, Ready, Hold,
        Unhold, Since, Create, Dead, Discard, Explain, Wait,
    )
}


class RefusedError(Exception):
    """A request that can't be served: a stable code for programs, a message and a remedy for people."""

    def __init__(self, code: str, message: str, remedy: str, **more: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        #: Fields that the error reply has beside the usual ones.
        self.more = more


def is_json(body: bytes) -> bool:
    """JSON text begins with `{` (white space before it is forgiven); no msgpack map does."""
    return body[:1] in (b"{", b" ", b"\n", b"\r", b"\t", b"[", b'"')


def decode_map(body: bytes) -> dict[str, Any]:
    """The request as a map, not yet checked. Raises RefusedError."""
    if len(body) > REQUEST_BYTES_MAX:
        raise RefusedError(
            "too_large",
            f"a request of {len(body)} bytes is over {REQUEST_BYTES_MAX}",
            "requests name a group and a batch, nothing more: see docs/protocol.md",
        )
    try:
        raw = msgspec.json.decode(body) if is_json(body) else msgspec.msgpack.decode(body)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RefusedError(
            "bad_request",
            cut(f"the request can't be decoded: {error}"),
            "send one frame: a msgpack map, or a JSON object",
        ) from None
    if not isinstance(raw, dict):
        raise RefusedError(
            "bad_request", f"the request is not a map but {type(raw).__name__}", "send a msgpack map, or a JSON object"
        )
    return raw


def parse(raw: dict[str, Any]) -> Any:
    """The typed request in `raw`. Unknown fields are ignored, so that newer clients can talk to older services."""
    version = raw.get("v", PROTOCOL_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version != PROTOCOL_VERSION:
        raise RefusedError(
            "version",
            f"the request is of version {shown(version)}, this service speaks {PROTOCOL_VERSION}",
            f'send "v": {PROTOCOL_VERSION}, or use a client of the service\'s version',
        )
    op = raw.get("op")
    kind = REQUESTS.get(op) if isinstance(op, str) else None
    if kind is None:
        what = "has no op" if op is None else f"has the unknown op {shown(op)}"
        raise RefusedError("unknown_op", f"the request {what}", f"use one of {', '.join(sorted(REQUESTS))}")
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        if isinstance(name := raw.get("group"), str):
            check_name(name)
        raise RefusedError("bad_field", cut(f"{op}: {error}"), "see docs/protocol.md for the fields of each op") from None


def request_id(raw: dict[str, Any]) -> object:
    """The `id` that the reply has back; None where it can't be sent at all. Raises RefusedError."""
    found = raw.get("id")
    if type(found) is int and 0 <= found < 1 << 64:  # what our own clients send
        return found
    try:
        size = len(_msgpack.encode(found))
    except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
        return None
    except RecursionError:
        size = ID_BYTES_MAX + 1
    if size > ID_BYTES_MAX or _depth(found) > ID_DEPTH_MAX:
        bounds = f"{ID_BYTES_MAX} bytes, or {ID_DEPTH_MAX} levels"
        raise RefusedError("bad_field", f"an id of more than {bounds}", "send a number or a short text")
    return found


def _depth(value: object) -> int:
    """Levels of lists and maps in it, up to ID_DEPTH_MAX + 1."""
    level: list[object] = [value]
    for depth in range(ID_DEPTH_MAX + 1):
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())]
        if not level:
            return depth
    return ID_DEPTH_MAX + 1


def exact_paths(op: str, paths_b64: Sequence[str]) -> list[bytes]:
    """The paths that a request names. Raises RefusedError where one is none: only an exact path can be told to lie in a root."""
    paths = [from_base64(op, path) for path in paths_b64]
    if not are_exact(paths):
        wrong = next(path for path in paths if not is_exact(path))
        remedy = "give it from / on, without `.`, `..` or superfluous slashes"
        raise RefusedError("bad_field", f"{op}: {shown(wrong)} is not an exact path", remedy)
    return paths


def from_base64(op: str, text: str) -> bytes:
    """The bytes that a field of a request gives. Raises RefusedError."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RefusedError("bad_field", f"{op}: not base64", "see docs/protocol.md") from None


def check_name(name: str) -> None:
    """Names of groups are what a person can read and type back. Raises RefusedError."""
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable() or name != name.strip():
        raise RefusedError(
            "bad_group",
            f"{shown(name)} is not a valid name for a group",
            f"use 1 to {NAME_CHARS_MAX} printable characters, without a blank at either end",
        )


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def encode_reply(reply: dict[str, Any], *, json: bool) -> bytes:
    """The reply in the request's encoding. An id that can't be sent back as it came becomes null."""
    encoder: Any = _json if json else _msgpack
    try:
        return bytes(encoder.encode(reply))
    except (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError):
        reply = dict(reply)
        reply["id"] = None
        return bytes(encoder.encode(reply))


def path_fields(path: bytes) -> tuple[str, str | UnsetType]:
    """`path` and `path_b64` of an exact path."""
    try:
        return path.decode(), UNSET
    except UnicodeDecodeError:
        return path.decode("utf-8", "replace"), base64.b64encode(path).decode("ascii")


def exact(event: Event) -> None:
    """Puts the exact paths into an event that came over the wire."""
    if event.path_b64 is not UNSET:
        event.path = os.fsdecode(base64.b64decode(event.path_b64))
    if event.moved_from_b64 is not UNSET:
        event.moved_from = os.fsdecode(base64.b64decode(event.moved_from_b64))


def line(event: Event | Fresh) -> bytes:
    """The event as one line of JSON, without the newline: exactly what `watch --json` and `pull --json` print."""
    if isinstance(event, Event) and (event.path_b64 is not UNSET or event.moved_from_b64 is not UNSET):
        event = msgspec.structs.replace(event)
        event.path = path_fields(os.fsencode(event.path))[0]
        if event.moved_from is not UNSET:
            event.moved_from = path_fields(os.fsencode(event.moved_from))[0]
    return _json.encode(event)
