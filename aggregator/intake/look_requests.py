"""Chooses which of the looks that are owed are asked for in the next replies, and of which shard. Pure: the clock is passed in,
in seconds.

Beats divide the time. What is owed is asked for once between two beats, because a reply may be lost, and the next beat asks
again. What is owed once more meanwhile, since the file has changed again, is asked for at once, too, but not without end: two
names of a file that is written all the time would have each other looked at in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final, NamedTuple

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
#: Names of one directory that are asked for between two beats, if some of them are owed once more, and no sync waits for them.
AGAIN_NAMES_MAX: Final = 20

#: Of each directory the names, and of each of these the first and the last look by which it is owed (`index.debts`).
Owed = Mapping[bytes, Mapping[bytes, tuple[int, int]]]
#: For each shard the directories, and of each the names; an empty list stands for all of its names.
Requests = dict[str, list[tuple[bytes, list[bytes]]]]


class _AskedFor(NamedTuple):
    """What was asked for in one directory since the last beat."""

    #: Since when the last of the names was owed.
    since: int
    #: How many names that were, one that was asked for twice counted twice.
    names: int


_NOTHING: Final = _AskedFor(-1, 0)


class LookRequests:
    """Owned by one thread."""

    def __init__(self) -> None:
        #: By directory, and how many names are owed in it.
        self._asked: dict[tuple[bytes, int], _AskedFor] = {}
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
        for request in list(self._asked):
            owner = owners.of(request[0])
            if owner is not None and owner.shard == shard:
                del self._asked[request]

    def choose(self, owed: Owed, owners: Owners, now: float, *, awaited: bool) -> Requests:
        """What is to be asked for now, which then counts as asked for.

        `awaited`: a sync waits for nothing but looks that are owed, so no directory rests, and what is owed once more is asked
        for, however often that was done.
        """
        found: Requests = {}
        for directory, names in islice(owed.items(), self._skipped, self._skipped + OWED_MAX):
            # Of most directories the names are not looked at: every turn of a search asks, and there may be millions.
            whole = len(names) > NAMES_MAX
            request = (directory, 0 if whole else len(names))
            asked = self._asked.get(request, _NOTHING)
            if asked.names and not awaited and asked.names + len(names) > AGAIN_NAMES_MAX:
                continue
            if whole and not awaited and now < self._rests.get(directory, now):
                continue
            owner = owners.of(directory)
            if owner is None or len(found.get(owner.shard, ())) >= LOOKS_MAX:
                continue
            since = max(first for first, _ in names.values())
            if asked.since == since:
                continue
            some = [] if whole else sorted(names)
            self._asked[request] = _AskedFor(since, asked.names + len(names))
            if whole:
                self._rests[directory] = now + len(names) / _NAMES_A_SECOND
            found.setdefault(owner.shard, []).append((directory, some))
        return found
