"""Every request that a client makes: its fields, made of checked arguments, and its bytes. Pure, and light to load.

Each function checks what it is given, and raises UsageError for what is of the wrong type or out of its range.
"""

from __future__ import annotations

import math
import os
from base64 import b64encode
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown

from ..protocol.bounds import (
    CURSOR_CHARS_MAX,
    NAME_CHARS_MAX,
    OUTPUT_BYTES_MAX,
    PATHS_MAX,
    PROTOCOL_VERSION,
    REQUEST_BYTES_MAX,
    TIME_S_MAX,
)

#: Largest values of a request's fields, as in docs/protocol.md: what is over them is refused before it is sent.
SECONDS_MAX: Final = 86_400.0
NUMBER_MAX: Final = 2**31 - 1
_TICK_MAX: Final = 2**63 - 1
#: Seconds that a sync may be answered after its own timeout.
SYNC_GRACE_S: Final = 3.0

_encode = msgspec.msgpack.Encoder().encode


class Request(Struct, frozen=True):
    """What is asked of the service: an op of docs/protocol.md and its fields."""

    op: str
    fields: Mapping[str, Any] = {}
    #: Seconds that the fields ask the service to wait before it answers.
    wait_s: float = 0.0

    def frame(self, number: int) -> bytes:
        """The request as it travels; `number` comes back in its reply. Raises UsageError for what can't be sent."""
        try:
            frame = _encode({"v": PROTOCOL_VERSION, "op": self.op, **self.fields, "id": number})
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{shown(error.object)} is no text in UTF-8 and can't be sent (`{self.op}`)", hint="give it in UTF-8"
            ) from None
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"the request `{self.op}` can't be sent: {error}", hint="see docs/protocol.md for its fields"
            ) from None
        if len(frame) > REQUEST_BYTES_MAX:
            raise UsageError(f"the request `{self.op}` is {len(frame)} bytes long", hint=f"at most {REQUEST_BYTES_MAX} are taken")
        return frame


def patience(seconds: float | None) -> float:
    """`patience_s` as it is counted with: seconds for which a service that is away is looked for. None is for ever."""
    return math.inf if seconds in (None, math.inf) else arguments.seconds("patience_s", seconds, 0.0, SECONDS_MAX * 366)


def request(op: str, fields: Mapping[str, Any], wait_s: float = 0.0) -> Request:
    """Any op, whatever its fields are."""
    wait_s = arguments.seconds("wait_s", wait_s, 0.0, 2 * SECONDS_MAX)
    return Request(arguments.text("op", op, NAME_CHARS_MAX), fields, wait_s)


def once() -> int:
    """A random number for a pull. Of the kernel, since a process and its child would have the same ones of `random`."""
    return 1 + int.from_bytes(os.urandom(6), "little")


def pull(
    group: str, worker: str, *, max: int | None, wait_s: float, from_: str | None, peek: bool, lease_s: float | None,
    once: int, ahead: bool = False, ack: str | UnsetType | None = UNSET,
) -> Request:  # fmt: skip
    """
    Args:
        once: a number that no other pull of this worker has (`once`), for the service to know it by if it comes again.
        ahead: of what is worked on later; it is answered at once.
        ack: a batch that is acknowledged with it; None: none, and the reply tells whether the service knows this field.
    """
    if from_ is not None:
        _check_beginning(from_)
    if max is not None:
        arguments.whole("max", max, 1, NUMBER_MAX)
    wait_s = arguments.seconds("wait_s", wait_s, 0.0, SECONDS_MAX)
    optional = {"max": max, "from": from_, "peek": bool(peek) or None, "lease_ms": _lease_ms(lease_s), "ahead": ahead or None}
    given: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
    given |= {} if peek else {"once": once}
    given |= {} if ack is UNSET else {"ack": ack}
    return Request("pull", {"group": _group(group), "wait_ms": round(wait_s * 1000), "worker": worker} | given, wait_s)


def ack(
    group: str, batch: str | None, ticks: Collection[int] | None = None, *, begin: bool = False, lease_s: float | None = None
) -> Request:
    """Of the whole batch, or of its events with these ticks. `begin`: what was pulled ahead begins with it, for `lease_s`."""
    fields: dict[str, Any] = {"group": _group(group), "batch": batch}
    if begin:
        fields |= {"begin": True} if lease_s is None else {"begin": True, "lease_ms": _lease_ms(lease_s)}
    if ticks is not None:
        fields["ticks"] = _ticks(ticks)
    return Request("ack", fields)


def nack(
    group: str,
    batch: str | None,
    reason: str,
    retry_s: float | None,
    output: str = "",
    ticks: Collection[int] | None = None,
) -> Request:
    """Of the whole batch, or of its events with these ticks. Of `output` the end is sent."""
    fields: dict[str, Any] = {"group": _group(group), "batch": batch, "reason": reason}
    if output != "":
        if not isinstance(output, str):
            raise arguments.wrong("output", output, "a text")
        fields["output"] = output[-OUTPUT_BYTES_MAX:]
    if ticks is not None:
        fields["ticks"] = _ticks(ticks)
    if retry_s is not None:
        fields["retry_ms"] = round(arguments.seconds("retry_s", retry_s, 0.0, SECONDS_MAX) * 1000)
    return Request("nack", fields)


def extend(group: str, batch: str | None, lease_s: float | None) -> Request:
    lease = {} if lease_s is None else {"lease_ms": _lease_ms(lease_s)}
    return Request("extend", {"group": _group(group), "batch": batch} | lease)


def release(group: str, batch: str | None, worker: str) -> Request:
    """Of one batch, or of all that the worker has, where `batch` is None."""
    return Request("release", {"group": _group(group)} | ({"worker": worker} if batch is None else {"batch": batch}))


def hold(name: str, lease_s: float) -> Request:
    return Request("hold", {"name": arguments.text("name", name, NAME_CHARS_MAX), "lease_ms": _lease_ms(lease_s)})


def unhold(name: str) -> Request:
    return Request("unhold", {"name": arguments.text("name", name, NAME_CHARS_MAX)})


def seek(group: str, tick: int | str | None, at: float | None) -> Request:
    """To a tick, or to a time, seconds since 1970."""
    if (tick is None) == (at is None):
        raise UsageError("either a tick or a time is to be given", hint="give seek(group, tick) or seek(group, at=SECONDS)")
    where = {"tick": tick} if at is None else {"at": arguments.seconds("at", at, 0.0, TIME_S_MAX)}
    return Request("seek", {"group": _group(group), **where})


def create(group: str, from_: str) -> Request:
    _check_beginning(from_)
    return Request("create", {"group": _group(group), "from": from_})


def since(cursor: str | None, max: int | None) -> Request:
    fields: dict[str, Any] = {} if cursor is None else {"cursor": arguments.text("cursor", cursor, CURSOR_CHARS_MAX)}
    if max is not None:
        fields["max"] = arguments.whole("max", max, 1, NUMBER_MAX)
    return Request("since", fields)


def of_group(op: str, group: str) -> Request:
    """`reset` or `drop`: they have no other field."""
    return Request(op, {"group": _group(group)})


def dead(group: str, path: object, after_b64: str | None) -> Request:
    """A page of what is set aside at a path and below it; None: anywhere."""
    fields: dict[str, Any] = {"group": _group(group), "output": True}
    if path is not None:
        fields["path_b64"] = _base64(arguments.path("path", path))
    return Request("dead", fields if after_b64 is None else {**fields, "after_b64": after_b64})


def of_dead(op: str, group: str, paths: object) -> Request:
    """`retry` or `discard`, of what is set aside at these paths and below them; None: of everything."""
    fields: dict[str, Any] = {"group": _group(group)}
    if paths is not None:
        found = arguments.paths("paths", paths)
        if len(found) > PATHS_MAX:
            raise arguments.wrong("paths", f"{len(found)} paths", f"at most {PATHS_MAX} paths")
        fields["paths_b64"] = [_base64(path) for path in found]
    return Request(op, fields)


def _base64(path: Path) -> str:
    return b64encode(os.path.abspath(os.fsencode(path))).decode("ascii")


def sync(timeout_s: float) -> Request:
    timeout_s = arguments.seconds("timeout_s", timeout_s, 0.0, SECONDS_MAX)
    return Request("sync", {"timeout_ms": round(timeout_s * 1000)}, timeout_s + SYNC_GRACE_S)


def wait(group: str, timeout_s: float) -> Request:
    fields = {"group": _group(group), **sync(timeout_s).fields}
    return Request("wait", fields, timeout_s + SYNC_GRACE_S)


def ready(wait_s: float) -> Request:
    wait_s = arguments.seconds("wait_s", wait_s, 0.0, SECONDS_MAX)
    return Request("ready", {"wait_ms": round(wait_s * 1000)}, wait_s)


def _check_beginning(from_: str) -> None:
    """Raises UsageError for what is no place where a group begins."""
    if from_ not in ("now", "start", "fresh"):
        raise arguments.wrong("from_", from_, "`now`, `start` or `fresh`")


def _group(name: object) -> str:
    return arguments.text("group", name, NAME_CHARS_MAX)


def _ticks(ticks: Collection[int]) -> list[int]:
    return [arguments.whole("ticks", tick, 1, _TICK_MAX) for tick in arguments.items("ticks", ticks)]


def _lease_ms(seconds: float | None) -> int | None:
    """At least 1 ms; None for None."""
    return None if seconds is None else max(1, round(arguments.seconds("lease_s", seconds, 0.0, SECONDS_MAX) * 1000))
