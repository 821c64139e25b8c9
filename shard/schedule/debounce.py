"""Debounces hints: a path waits until it is quiet, but not longer than a maximum. Does no input or output; the clock is
passed in.

Hints arrive by the thousand. So they are kept in generations of a few milliseconds each, and compared as sets: a name
is due when its generation is old enough and no later one contains it. Only names that are hit again take an object of
their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")

#: Generations into which one debounce time is divided.
_GRAINS: Final = 8


class _Generation(Generic[K]):
    __slots__ = ("begun", "last", "names")

    def __init__(self, now: int) -> None:
        self.begun = now
        self.last = now
        self.names: dict[K, set[bytes]] = {}


class Debounce(Generic[K]):
    """Names by directory. Times are nanoseconds of one monotonic clock."""

    def __init__(self, quiet_ns: int, cap_ns: int) -> None:
        self.wait(quiet_ns, cap_ns)
        self._generations: deque[_Generation[K]] = deque()
        #: When a name that was hit again was first hit.
        self._first: dict[tuple[K, bytes], int] = {}
        #: Directories of which every name is pending: precision was given up, not changes.
        self._whole: dict[K, int] = {}
        self._count = 0

    def __len__(self) -> int:
        """Names pending, a name counted once for each generation that holds it."""
        return self._count + len(self._whole)

    def wait(self, quiet_ns: int, cap_ns: int) -> None:
        """How long a name has to be quiet from now on, and how long it waits at most."""
        self.quiet_ns = self._quiet_ns = quiet_ns
        self.cap_ns = max(cap_ns, quiet_ns)

    def widen(self, wide: bool) -> None:
        """Makes the debounce time as long as the maximum allows, including the length of a generation; or resets it."""
        longest = self.cap_ns * _GRAINS // (_GRAINS + 1)
        self.quiet_ns = max(self._quiet_ns, longest) if wide else self._quiet_ns

    def add(self, now: int, hints: Mapping[K, set[bytes]]) -> None:
        """Takes over the sets of `hints`. A time before that of earlier hints counts as that."""
        if not hints:
            return
        newest = self._generations[-1] if self._generations else None
        if newest is not None:
            now = max(now, newest.last)
        if newest is None or now - newest.begun > self.quiet_ns // _GRAINS:
            newest = _Generation(now)
            self._generations.append(newest)
        newest.last = now
        for key, names in hints.items():
            if key in self._whole:
                continue
            held = newest.names.get(key)
            if held is None:
                newest.names[key] = names
                self._count += len(names)
            else:
                before = len(held)
                held |= names
                self._count += len(held) - before

    def pending(self, key: K) -> set[bytes] | None:
        """Names of a directory that are pending; None: all of them."""
        if key in self._whole:
            return None
        found: set[bytes] = set()
        for generation in self._generations:
            found |= generation.names.get(key, set())
        return found

    def collapse(self, now: int) -> None:
        """Forgets the names: all their directories are pending as a whole."""
        for generation in self._generations:
            for key in generation.names:
                self._whole.setdefault(key, now)
        self._generations.clear()
        self._first.clear()
        self._count = 0

    def due(self, now: int) -> dict[K, set[bytes] | None]:
        """Takes out what is due by `now`; None instead of names means all of the directory."""
        ripe = self._take_ripe(now)
        names = _merged(ripe)
        self._hold_back(now, ripe, names)
        out: dict[K, set[bytes] | None] = {key: some for key, some in names.items() if some}
        if self._whole:
            for key in [k for k, since in self._whole.items() if since + self.quiet_ns <= now]:
                del self._whole[key]
                out[key] = None
        return out

    def _take_ripe(self, now: int) -> list[_Generation[K]]:
        """Takes out the generations that are old enough, the oldest first."""
        ripe = []
        while self._generations and self._generations[0].last + self.quiet_ns <= now:
            generation = self._generations.popleft()
            self._count -= sum(map(len, generation.names.values()))
            ripe.append(generation)
        return ripe

    def _hold_back(self, now: int, ripe: list[_Generation[K]], names: dict[K, set[bytes]]) -> None:
        """Removes from `names`, those of the `ripe` generations, what a later generation contains too and whose maximum is not
        reached. Only later generations are searched: they span one debounce time, while the ripe ones are as many as a busy
        shard has let wait.
        """
        for later in self._generations:
            for key in names.keys() & later.names.keys():
                for name in names[key] & later.names[key]:
                    first = self._first.get((key, name))
                    if first is None:
                        first = next(generation.begun for generation in ripe if name in generation.names.get(key, ()))
                        self._first[key, name] = first
                    if now - first < self.cap_ns:
                        names[key].discard(name)
        if self._first:
            for key, some in names.items():
                for name in some:
                    self._first.pop((key, name), None)

    def flush(self) -> dict[K, set[bytes] | None]:
        """Takes out everything."""
        out: dict[K, set[bytes] | None] = {**_merged(self._generations), **dict.fromkeys(self._whole)}
        self._generations.clear()
        self._first.clear()
        self._whole.clear()
        self._count = 0
        return out

    def next_due(self) -> int | None:
        """When `due` has something next, or None."""
        if self._whole:
            first = min(self._whole.values())
            return (min(first, self._generations[0].last) if self._generations else first) + self.quiet_ns
        return self._generations[0].last + self.quiet_ns if self._generations else None


def _merged(generations: Iterable[_Generation[K]]) -> dict[K, set[bytes]]:
    """The names of these generations by directory. The generations stay as they are, save that a set of one may be shared."""
    merged: dict[K, set[bytes]] = {}
    own: set[K] = set()
    for generation in generations:
        for key, names in generation.names.items():
            held = merged.get(key)
            if held is None:
                merged[key] = names
            elif key in own:
                held |= names
            else:
                own.add(key)
                merged[key] = held | names
    return merged
