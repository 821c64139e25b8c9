"""The subjects of one source: PREFIX.SOURCE.PARTITION.KEY for each path, and two that are not of a path.

A path is no part of a subject: it may be longer than what a server takes for a subject, and may hold what a subject must not.
So KEY is a hash of the exact path, and the path itself is in the body.
"""

from __future__ import annotations

import base64
import re
from hashlib import blake2b
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.shown import shown

#: Defaults: name of the stream, and what its subjects begin with.
STREAM: Final = "shardwatch"
PREFIX: Final = "shardwatch"
#: Partitions of a source.
PARTITIONS_MAX: Final = 1_024
#: One token of a subject, as this bridge allows it: nothing that means something to a server.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,3}")
_KEY_BYTES: Final = 16


class Subjects:
    """The subjects of a source.

    Args:
        prefix: 1 to 4 tokens, joined by dots, which every subject of the stream begins with.
        source: one token: the machine, or the workspace, whose files these are.
        partitions: 1 to PARTITIONS_MAX. A path is always in the same one.

    Raises UsageError.
    """

    def __init__(self, prefix: str, source: str, partitions: int) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise UsageError(f"{shown(prefix)} is no prefix", hint="give 1 to 4 words of letters, digits, - and _, dots between")
        check_token("name of a source", source)
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise UsageError(f"{shown(partitions)} is no number of partitions", hint=f"give 1 to {PARTITIONS_MAX}")
        self.source = source
        self.partitions = partitions
        self.stream_subjects = f"{prefix}.>"
        #: Says who ships this source, and how far that is.
        self.head = f"{prefix}.{source}.head"
        #: Where whoever ships the source is asked for a sync. It is not in the stream.
        self.sync = sync_subject(prefix, source)
        #: All subjects of the source.
        self.everything = f"{prefix}.{source}.>"
        self._source = f"{prefix}.{source}"

    def path(self, path: bytes) -> str:
        """The subject of an exact path."""
        digest = _digest(path)
        key = base64.b32encode(digest).decode("ascii").rstrip("=").lower()
        return f"{self._source}.{_partition(digest, self.partitions)}.{key}"

    def partition(self, path: bytes) -> int:
        """Of an exact path."""
        return _partition(_digest(path), self.partitions)

    def log(self, partition: int) -> str:
        """The subject of everything in a partition (layout `batches`)."""
        return f"{self._source}.{partition}.log"

    def purged(self, partition: int) -> str:
        """The subject that says up to where deletions of a partition are removed."""
        return f"{self._source}.{partition}.purged"

    def end(self, partition: int) -> str:
        """The subject that says which generation of a partition is complete."""
        return f"{self._source}.{partition}.end"


def check_token(what: str, name: str) -> str:
    """A name that is one token. Raises UsageError, with `what` it would be."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise UsageError(f"{shown(name)} is no {what}", hint="give up to 64 letters, digits, - and _")
    return name


def sync_subject(prefix: str, source: str) -> str:
    return f"{prefix}-sync.{source}"


def partition_of(path: bytes, partitions: int) -> int:
    """In which of so many partitions an exact path is."""
    return _partition(_digest(path), partitions)


def _digest(path: bytes) -> bytes:
    return blake2b(path, digest_size=_KEY_BYTES).digest()


def _partition(digest: bytes, partitions: int) -> int:
    return int.from_bytes(digest[:8]) % partitions


def as_source(host: str) -> str:
    """A name of a machine, as the name of a source: what can't be in one becomes `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", host)[:64] or "source"
