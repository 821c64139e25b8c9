"""What a stream and a server must be like, so that nothing is lost and no old state overwrites a newer one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .bodies import BODY_BYTES_MAX, MESSAGE_BYTES_MAX
from .layouts import KEEP_BYTES_MIN, KEEP_S, KEEP_S_MIN, StreamLayout, StreamWish

#: The first server that compares a subject's sequence with what is expected of that subject, and not of the stream
#: (github.com/nats-io/nats-server/issues/3716).
SERVER_MIN: Final = (2, 9, 10)
#: Later than the fix of an expected sequence of 0 in a replicated stream, which two publishers could both win
#: (github.com/nats-io/nats-server/pull/5794), and of two publishes at once (issue 4320).
REPLICATED_MIN: Final = (2, 10, 20)

_WANTED_OF_BOTH: Final[dict[str, tuple[Any, ...]]] = {
    "retention": ("limits",),
    "storage": ("file",),
    "discard_new_per_subject": (False, None),
    "max_msgs": (-1, 0, None),
    "no_ack": (False, None),
    "deny_purge": (False, None),
    "sealed": (False, None),
}


#: Field of a stream's configuration -> the values that it may have; the first is that of a stream that is made.
WANTED: Final[Mapping[StreamLayout, dict[str, tuple[Any, ...]]]] = {
    StreamLayout.PATHS: {
        "discard": ("new",), "max_msgs_per_subject": (1,), **_WANTED_OF_BOTH, "max_age": (0, None),
    },
    StreamLayout.BATCHES: {"discard": ("old",), "max_msgs_per_subject": (-1, 0, None), **_WANTED_OF_BOTH},
}  # fmt: skip


#: Readers that a stream may have which is made: each worker has one for each partition that it reads, and two more. It is told
#: because nats-server 2.15 takes 1,000 where nothing is told, and -1 for nothing (nats-server pull 8337).
CONSUMERS_MAX: Final = 100_000


class StreamFacts(NamedTuple):
    """A stream that is there."""

    #: When it was made, as the server says it.
    created: str
    #: Its configuration, in the server's words.
    config: dict[str, Any]

    @property
    def layout(self) -> StreamLayout:
        """Of a stream without fault."""
        return made_for(self.config) or StreamLayout.PATHS

    @property
    def body_bytes_max(self) -> int | None:
        """Of a message, beside its headers; None: the stream has no limit."""
        most = self.config.get("max_msg_size") or -1
        return None if most < 0 else most - (MESSAGE_BYTES_MAX - BODY_BYTES_MAX)


def settings(wish: StreamWish) -> dict[str, Any]:
    """Of a stream that is made."""
    fields = {field: values[0] for field, values in WANTED[wish.layout].items()} | {
        "num_replicas": wish.replicas or 1, "max_consumers": CONSUMERS_MAX,
    }  # fmt: skip
    if wish.layout == StreamLayout.BATCHES:
        fields |= {"max_age": wish.keep_s or KEEP_S, "max_bytes": wish.keep_bytes or -1}
    return fields


def stream_fault(config: Mapping[str, Any], subjects: str, wish: StreamWish) -> str:
    """What is wrong with a stream, with the value that is wanted; "" if nothing is.

    Args:
        config: in the server's words.
        subjects: what it must take.
    """
    for field, values in WANTED[wish.layout].items():
        if config.get(field) not in values:
            other = made_for(config)
            made = f" (it is as --layout {other} wants it)" if other is not None else ""
            return f"{field} is {config.get(field)}, and must be {values[0]}{made}"
    if subjects not in (config.get("subjects") or ()):
        return f"its subjects are {', '.join(config.get('subjects') or ['none'])}, and must include {subjects}"
    if 0 <= (config.get("max_msg_size") or -1) < MESSAGE_BYTES_MAX:
        return f"max_msg_size is {config['max_msg_size']}, and must be -1, or at least {MESSAGE_BYTES_MAX}"
    if config.get("mirror") or config.get("sources"):
        return "it is made of other streams"
    if wish.replicas is not None and config.get("num_replicas") != wish.replicas:
        return f"num_replicas is {config.get('num_replicas')}, and not {wish.replicas}"
    return _retention_fault(config, wish) if wish.layout == StreamLayout.BATCHES else ""


def made_for(config: Mapping[str, Any]) -> StreamLayout | None:
    """The layout whose settings a stream has, if any."""
    for layout, wanted in WANTED.items():
        if all(config.get(field) in values for field, values in wanted.items()):
            return layout
    return None


def _retention_fault(config: Mapping[str, Any], wish: StreamWish) -> str:
    """The same, of the limits of a log."""
    max_age, max_bytes = config.get("max_age") or 0, config.get("max_bytes") or -1
    if 0 < max_age < KEEP_S_MIN:
        return f"max_age is {max_age:g} s, and must be 0, or at least {KEEP_S_MIN} s"
    if 0 < max_bytes < KEEP_BYTES_MIN:
        return f"max_bytes is {max_bytes}, and must be -1, or at least {KEEP_BYTES_MIN}"
    if wish.keep_s is not None and max_age != wish.keep_s:
        return f"max_age is {max_age:g} s, and not {wish.keep_s} s"
    if wish.keep_bytes is not None and max_bytes != wish.keep_bytes:
        return f"max_bytes is {max_bytes}, and not {wish.keep_bytes}"
    return ""


def server_fault(version: str, replicas: int) -> str:
    """Why a server's version won't do for a stream of so many replicas; "" if it does."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    least = SERVER_MIN if replicas == 1 else REPLICATED_MIN
    if found is not None and tuple(map(int, found.groups())) >= least:
        return ""
    for_replicas = "" if replicas == 1 else f" for a stream of {replicas} replicas"
    return f"it is nats-server {version or 'of an unknown version'}, and {'.'.join(map(str, least))} is needed{for_replicas}"
