"""What the messages of a stream are, and what a stream is wanted to be."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from shardwatch.shard.contract.errors import UsageError

#: Seconds for which a log keeps a message, and a mirror a deletion: at least, by default, and at most. The first is far above
#: what a process may stand still between two steps.
KEEP_S_MIN: Final = 600
KEEP_S: Final = 7 * 86_400
KEEP_S_MAX: Final = 3_650 * 86_400
#: Bytes of such a stream, if they are limited.
KEEP_BYTES_MIN: Final = 64 << 20
KEEP_BYTES_MAX: Final = 1 << 50
#: Servers that keep a stream: as many as JetStream allows.
REPLICAS_MAX: Final = 5


class StreamLayout(StrEnum):
    """What the messages of a stream are."""

    #: A mirror: one message for each path, with its last state.
    PATHS = "paths"
    #: A log: messages with many events each, for a while.
    BATCHES = "batches"


class StreamWish(NamedTuple):
    """What a stream is wanted to be."""

    layout: StreamLayout = StreamLayout.PATHS
    #: None: any number; one that is made has 1.
    replicas: int | None = None
    #: Seconds after which a message of a log goes, or a deletion of a mirror. None: KEEP_S; a log that is there may have any.
    keep_s: int | None = None
    #: Of a log. None: any; one that is made has no limit.
    keep_bytes: int | None = None


def checked_wish(wish: StreamWish) -> StreamWish:
    """Raises UsageError for what no stream can be."""
    if wish.replicas is not None and not 1 <= wish.replicas <= REPLICAS_MAX:
        raise UsageError(f"--replicas {wish.replicas} is out of range", hint=f"give 1 to {REPLICAS_MAX}")
    if wish.layout != StreamLayout.BATCHES and wish.keep_bytes is not None:
        raise UsageError("--keep-bytes is for --layout batches", hint="leave it out: a mirror keeps every path")
    if wish.keep_s is not None and not KEEP_S_MIN <= wish.keep_s <= KEEP_S_MAX:
        raise UsageError(f"--keep-s {wish.keep_s} is out of range", hint=f"give {KEEP_S_MIN} to {KEEP_S_MAX}")
    if wish.keep_bytes is not None and not KEEP_BYTES_MIN <= wish.keep_bytes <= KEEP_BYTES_MAX:
        hint = f"give {KEEP_BYTES_MIN} to {KEEP_BYTES_MAX}"
        raise UsageError(f"--keep-bytes {wish.keep_bytes} is out of range", hint=hint)
    return wish
