"""Chooses which of the looks that are owed are asked for in the next replies, and of which shard. Pure: the clock is passed in,
in seconds.

Beats divide the time. Each directory is asked for once between two beats, because a reply may be lost, and the next beat asks
again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final

from shardwatch.shard.contract.state.planfile import Owners

#: Directories that one reply asks a shard to look at again. The rest is asked for with the next reply.
LOOKS_MAX: Final = 100
#: Directories with owed looks that are considered for one reply.
OWED_MAX: Final = 10_000
#: Names of one directory that are asked for one by one, because a reply must not exceed the size of a frame.
NAMES_MAX: Final = 100
#: Names that are asked for per second in a directory with more than that. Consider a file with 20,000 names, one of which is
#: written all the time: the others are looked at every 20 s, and at every sync. Without this limit the shard would do nothing
#: else.
_NAMES_A_SECOND: Final = 1_000

#: For each shard the directories, and of each the names; an empty list stands for all of its names.
Requests = dict[str, list[tuple[bytes, list[bytes]]]]


class LookRequests:
    """Owned by one thread."""

    def __init__(self) -> None:
        #: Directories, and how many names in them, that were asked for since the last beat.
        self._asked: set[tuple[bytes, int]] = set()
        #: Directories of which all names were asked for, and when this may be done again.
        self._rests: dict[bytes, float] = {}
        #: How many directories with owed looks are skipped until the next beat.
        self._skipped = 0

    def begin_beat(self, owed: int, now: float) -> None:
        """What was asked for may have been lost, so it may be asked for again. `owed`: directories with owed looks.

        Each beat considers other directories than the last one, so that those of a shard that does not answer delay no others.
        """
        self._asked.clear()
        self._rests = {directory: until for directory, until in self._rests.items() if until > now}
        self._skipped = self._skipped + OWED_MAX if self._skipped + OWED_MAX < owed else 0

    def ask_again(self, shard: str, owners: Owners) -> None:
        """What this shard was asked for since the last beat was lost."""
        self._asked = {request for request in self._asked if (owner := owners.of(request[0])) is None or owner.shard != shard}

    def choose(self, owed: Mapping[bytes, Collection[bytes]], owners: Owners, now: float, *, syncing: bool) -> Requests:
        """What is to be asked for now, which then counts as asked for.

        `owed`: names by directory. `syncing`: somebody waits for all of them, so no directory rests.
        """
        found: Requests = {}
        for directory, names in islice(owed.items(), self._skipped, self._skipped + OWED_MAX):
            owner = owners.of(directory)
            some = sorted(names) if len(names) <= NAMES_MAX else []
            request = (directory, len(some))
            if owner is None or request in self._asked or len(found.get(owner.shard, ())) >= LOOKS_MAX:
                continue
            if not some and not syncing and now < self._rests.get(directory, now):
                continue
            self._asked.add(request)
            if not some:
                self._rests[directory] = now + len(names) / _NAMES_A_SECOND
            found.setdefault(owner.shard, []).append((directory, some))
        return found
