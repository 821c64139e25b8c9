"""Compares what was seen with pages, as wholes: nothing is unpacked of what is as it was, or of a page in which all has changed.

What can't be told of a whole page is left to `merge`, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from shardwatch.shard.contract.files.packed import Seen
from shardwatch.shard.contract.wire.frames import Listing

from .file import IndexFile
from .page import Page, all_differ, can_rest, inode_numbers, renumbered
from .pages import Pages

_ANY_ROW: Final = "SELECT 1 FROM entry WHERE dir=? LIMIT 1"
_NONE: Final[frozenset[bytes]] = frozenset()


def _says(page: Page, seen: Seen) -> bool:
    """Whether a page says all of what was seen, and nothing else."""
    return page.stats == seen.stats and page.names == b"\0".join(seen.names) and page.whole


class _Stamp(NamedTuple):
    """Whether the entries of a page get new ticks, and which groups hold their paths, as it is stored."""

    anew: bool
    held: int | bytes


class Resting:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile, pages: Pages, *, content_only: bool) -> None:
        """`content_only`: as of `Index`."""
        self._file = file
        self._ticks = file.ticks
        self._pages = pages
        self._content_only = content_only
        #: Whether the last listing of a directory that was known was as its page says: most are, when a service starts again.
        self.expects_rest = False

    def holds(self, id_: int, seen: Seen) -> bool:
        """Whether one page says of all that was seen in a directory what was seen, and nothing more is known there, as of nearly
        all directories when a service starts again."""
        page = self._pages.only(id_)
        rests = page is not None and _says(page, seen) and self._file.db.execute(_ANY_ROW, (id_,)).fetchone() is None
        self.expects_rest = rests
        return rests

    def held(self, listings: Sequence[Listing]) -> int:
        """How many of them, from the beginning, `holds` is true of. Each has names, and is the whole of its directory."""
        pages = self._pages.alone([(listing.path, listing.names[0]) for listing in listings])
        for number, listing in enumerate(listings):
            page = pages.get(listing.path)
            if page is None or not _says(page, listing.seen):
                return number
        return len(listings)

    def renewed(self, id_: int, path: bytes, seen: Seen, at: int) -> bool:
        """Deals with all that was seen, if that is every entry of one whole page, and all is as it says or all is new, as a
        checkout leaves it. Returns whether it was. `at`: wall clock of the look, ns.
        """
        page = self._pages.beginning(id_, seen.names[0], len(seen.names))
        if page is None or page.names != b"\0".join(seen.names) or not page.whole:
            return False
        if seen.stats == page.stats:
            return True
        stamp = self._stamp(page, seen.stats)
        if stamp is None:
            return False
        written = self._write(page, seen.stats, stamp, at)
        if stamp.anew:
            self._ticks.newest.note_page(written, path)
        return True

    def settle(self, pages: Iterable[Page], seen: Seen, at: int) -> frozenset[bytes]:
        """Deals with those of the names that are as their pages say; and if all the others are those of whole pages in which all
        is new, with these pages. Returns the names that were dealt with. So ticks are given in the order of names.

        Args:
            pages: which hold some of these names, in the order of names.
            at: wall clock of the look, ns.
        """
        by_name: dict[bytes, bytes] = {}
        done: set[bytes] = set()
        others: list[tuple[Page, bytes]] = []
        for page in pages:
            names = page.live_names()
            if not by_name:
                if page.whole and names == seen.names and (seen.stats == page.stats or self._renew([(page, seen.stats)], at)):
                    return frozenset(names)
                by_name = seen.by_name()
            mine, theirs = list(map(by_name.get, names)), page.live_stats()
            if mine == theirs:
                done.update(names)
            elif page.whole and theirs[0] != mine[0] and None not in mine:
                others.append((page, b"".join(filter(None, mine))))
            else:
                done.update([name for name, one, other in zip(names, mine, theirs, strict=True) if one == other])
        left = len(by_name) - len(done)
        whole = bool(others) and left == sum(len(page.live) for page, _ in others) and seen.names == sorted(seen.names)
        if whole and self._renew(others, at):
            return frozenset(by_name)
        return frozenset(done) if done else _NONE

    def _renew(self, pages: list[tuple[Page, bytes]], at: int) -> bool:
        """Writes whole pages anew, each with stats for all its entries, if these say of each page that all of it has changed, or
        that all are the same files on a device with another number. Returns whether it did.
        """
        stamps = [self._stamp(page, stats) for page, stats in pages]
        if None in stamps:
            return False
        for (page, stats), stamp in zip(pages, stamps, strict=True):
            assert stamp is not None
            self._write(page, stats, stamp, at)
        return True

    def _write(self, page: Page, stats: bytes, stamp: _Stamp, at: int) -> Page:
        """Writes a whole page anew, and returns it."""
        count = len(page.live)
        if not stamp.anew:
            self._ticks.newest.forget(page.tick)
        base = self._ticks.take(count) if stamp.anew else page.base
        written = page.again(stats, base=base, held=stamp.held, at_ns=at)
        self._pages.replace(page, written)
        self._file.count(0, 0, count)
        return written

    def _stamp(self, page: Page, stats: bytes) -> _Stamp | None:
        """What is to become of a whole page; None if it is not the same for all its entries."""
        if not can_rest(stats):
            return None
        if self._content_only or not all_differ(page.stats, stats):
            return _Stamp(False, page.held) if renumbered(page.stats, stats) else None
        if self._pages.inodes.used and inode_numbers(page.stats) != inode_numbers(stats):
            return None  # the files that were there may have other names
        if not self._ticks.seen(page.lane, page.base):
            return _Stamp(False, page.held)
        if not self._ticks.seen(page.lane, page.tick):
            return None
        held = self._ticks.holders.superseded_alike(page.lane, page.base, page.tick, page.held)
        return None if held is None else _Stamp(True, held)
