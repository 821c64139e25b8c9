"""Applies the records of shards to the rows, by the rules of `merge` and `burial`, and keeps what is owed by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from shardwatch.shard.contract.files.packed import A_DIRECTORY
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.wire.frames import Check, Confirmed, Gone, Listing, Looks, Verified

from . import plain
from .burial import bury
from .changes import Changes
from .debts import Debts
from .entries import Place, Rows
from .file import IndexFile
from .merge import merge
from .page import worth
from .resting import Resting
from .row import GONE, LEFT_OUT, Known, tells_there
from .scattered import Scattered
from .tables import Tables
from .verification import Finding, differences

_NO_NAMES: Final[frozenset[bytes]] = frozenset()
_NO_PLACES: Final[Mapping[bytes, Place]] = MappingProxyType({})
_Record = TypeVar("_Record", Listing, Looks)


class Records:
    """Call between `Index.begin` and `Index.commit`.

    `stops`, in all methods: anchors of other shards below the directory; what is below them is not this record's to delete.
    """

    def __init__(
        self,
        file: IndexFile,
        tables: Tables,
        debts: Debts,
        *,
        lane_of: Callable[[bytes], int] | None,
        directories: bool,
        content_only: bool,
    ) -> None:
        """`lane_of`, `directories`, `content_only`: as of `Index`."""
        self._file = file
        self._db = file.db
        self._ticks = file.ticks
        self._tables = tables
        self._scattered = Scattered(tables, file.ticks, content_only=content_only)
        self._resting = Resting(file, tables.pages, content_only=content_only)
        self._debts = debts
        self._lane_of = lane_of
        self._directories_are_events = directories
        self._content_only = content_only

    # -- what shards say

    def listing(self, record: Listing, stops: Iterable[bytes]) -> None:
        """A directory, or a range of its names, as read to its end."""
        id_, new = self._tables.directories.id_of(record.path)
        if new and self._populated(id_, record):
            return
        if new:
            self._list(id_, record, Rows(), stops)
            return
        if self._is_whole(record) and self._resting.holds(id_, record.seen):
            return
        for part in self._tables.entries.covered(id_, record.after, record.upto):
            some = _part(record, part.after, part.upto)
            came = some.seen.chosen([name not in some.births for name in some.names]) if some.births else some.seen
            done = self._resting.settle(part.pages, came, some.at)
            self._list(id_, _without(some, done), part.entries(done), stops, done)

    @property
    def expects_first(self) -> bool:
        """Whether `first` may have something to do: the last listing was of a new directory, and all of that can be written
        without `merge`."""
        plainly = self._lane_of is None and not self._directories_are_events and not self._debts.owed
        return plainly and self._tables.directories.expects_new

    def first(self, records: Sequence[Listing]) -> int:
        """Deals with those of the records, from the beginning, that are the whole of what is in directories of which nothing was
        known. Returns how many there were."""
        done, files, directories = plain.populate_each(self._tables, records, self._ticks)
        self._file.count(files, directories, files + directories)
        return done

    @property
    def expects_rest(self) -> bool:
        """Whether `held` may have something to do: the last listing was of a directory that is as it was."""
        return self._resting.expects_rest

    def held(self, records: Sequence[Listing]) -> int:
        """How many of the records, from the beginning, say what the index says already, so that nothing is to be done. It may be
        fewer than there are."""
        return self._resting.held(list(takewhile(lambda record: record.names and self._is_whole(record), records)))

    def _is_whole(self, record: Listing) -> bool:
        """Whether a listing is of all names of its directory, and nothing is owed or said besides how they are."""
        return record.after is None and record.upto is None and not record.births and record.path not in self._debts.owed

    def _list(
        self, id_: int, record: Listing, known: Rows, stops: Iterable[bytes], done: frozenset[bytes] = _NO_NAMES
    ) -> None:
        """`done`: other names that are there, of which nothing is to be done."""
        owed = self._debts.within(record.path, record.after, record.upto)
        if not (record.names or known or owed):
            return
        rows = list(known.values()) if worth(len(known)) else []
        if not self._merge(id_, record, known, (), True, stops, owed, done) and rows:
            self._tables.writer.rest(id_, rows)

    def _populated(self, id_: int, record: Listing) -> bool:
        """Whether the short cut for a new directory could be taken."""
        simple = self._lane_of is None and not self._directories_are_events and not record.births
        if not simple or record.path in self._debts.owed:
            return False
        made = plain.populate(self._db, id_, record.seen, record.at, self._ticks, self._tables.pages)
        if made is None:
            return False
        files, directories = made
        self._file.count(files, directories, files + directories)
        return True

    def looks(self, record: Looks, stops: Iterable[bytes]) -> None:
        """Some names of a directory."""
        id_, new = self._tables.directories.id_of(record.path)
        owed = self._debts.owed.get(record.path, ())
        if not new and not owed and not record.absent and (len(record.names) == 1 or not record.births):
            rest = self._rewritten(id_, record)
            if rest is None:
                return
            record = rest
        names = record.names + record.absent
        known = Rows() if new else self._tables.entries.named(id_, names)
        self._merge(id_, record, known, record.absent, False, stops, [n for n in names if n in owed])

    def are_scattered(self, records: Sequence[Looks]) -> bool:
        """Whether `scattered` may have something to do with such records."""
        return self._scattered.are_worth_it(records)

    def scattered(self, records: Sequence[Looks]) -> list[Looks]:
        """Deals at once with those of the records that say nothing but how a few known files are, each in any directory. Returns
        the others for `looks`, in an order in which they may be applied; all of them must be allowed to be written.
        """
        owed = self._debts.owed
        if owed and any(record.path in owed for record in records):
            return list(records)
        left, written = self._scattered.rewrite(records)
        self._file.count(0, 0, written)
        return left

    def _rewritten(self, id_: int, record: Looks) -> Looks | None:
        """Takes the short cuts for what is known, where the record says nothing but how names are that are there. Returns what is
        left, None if nothing is.
        """
        tables, content_only = self._tables, self._content_only
        if len(record.names) == 1:
            name = record.names[0]
            written = plain.rewrite_one(
                tables, id_, record.path, name, record.stats, record.at, self._ticks,
                birth_ns=record.births.get(name, 0), content_only=content_only,
            )  # fmt: skip
        else:
            if worth(len(record.names)):
                if self._resting.renewed(id_, record.path, record.seen, record.at):
                    return None
                pages = [page for page, _ in tables.pages.holding(id_, sorted(record.names)) if page.whole]
                if pages:
                    record = _without(record, self._resting.settle(pages, record.seen, record.at))
            if not record.names:
                return None
            written = plain.rewrite(tables, id_, record.path, record.seen, record.at, self._ticks, content_only=content_only)
        if written is None:
            return record
        self._file.count(0, 0, written)
        return None

    def gone(self, record: Gone, stops: Iterable[bytes]) -> None:
        """An anchor is not there: everything of it goes."""
        self.bury_below([record.path], record.at, stops)

    def folds_to(self, record: Check) -> bool:
        """Whether the rows of a range are what was seen there. Writes nothing."""
        return self._tables.entries.folded(self._tables.directories.find(record.path), record) == record.folded

    def verified(self, record: Verified, stops: Iterable[bytes]) -> list[Finding]:
        """A listing that no hint led to. Returns what it had otherwise than the rows, save what is changing just now."""
        id_, _ = self._tables.directories.id_of(record.path)
        listing = Listing(record.path, record.at, *record.seen, record.after, record.upto)
        findings: list[Finding] = []
        for part in self._tables.entries.covered(id_, record.after, record.upto):
            seen = _part(listing, part.after, part.upto).seen
            findings += differences(record.path, part.entries(), seen, record.hinted, content_only=self._content_only)
        hinted = set(record.hinted)
        self._tables.writer.confirm(id_, record.seen.chosen([name not in hinted for name in record.names]))
        self.listing(listing, stops)
        return findings

    def confirmed(self, record: Confirmed) -> None:
        """Where the stat is the same as when it was looked at too early, the file is the same."""
        id_, _ = self._tables.directories.id_of(record.path)
        self._tables.writer.confirm(id_, record.seen)

    def _merge(
        self,
        id_: int,
        record: Listing | Looks,
        known: Rows,
        absent: Iterable[bytes],
        complete: bool,
        stops: Iterable[bytes],
        owed: list[bytes],
        done: frozenset[bytes] = _NO_NAMES,
    ) -> bool:
        """Returns whether anything has changed. `done`: as of `_list`."""
        path, at = record.path, record.at
        lanes: dict[bytes, int] | int = 0
        if self._lane_of is not None:
            lanes = {name: self._lane_of(join(path, name)) for name in record.names}
        changes = merge(
            known, record.seen, absent, complete=complete, at=at, ticks=self._ticks, lane_of=lanes,
            directories_are_events=self._directories_are_events, births=record.births, content_only=self._content_only,
        )  # fmt: skip
        if owed:
            self._debts.pay(path, owed, at)
            # Rows below a directory that has none itself: only in a damaged file, and then somebody asked for this look.
            seen = {*record.names, *done, *changes.gone_directories}
            changes.gone_directories += [name for name in owed if name not in seen]
        if changes.links:
            self._tables.inodes.begin()
        self._write(id_, changes, at, known.places)
        if changes.gone_directories:
            self.bury_below([join(path, name) for name in changes.gone_directories], at, stops)
        return bool(changes)

    def _write(self, id_: int, changes: Changes, at: int, places: Mapping[bytes, Place]) -> None:
        """Writes what changes in a directory, and what is owed by that."""
        if changes:
            self._tables.writer.write(id_, changes, places)
        if changes.linked and self._tables.inodes.used:
            self._debts.add_names(changes.linked, at)

    # -- what goes without a record that names it

    def bury_below(self, paths: list[bytes], at: int, stops: Iterable[bytes]) -> None:
        """Everything in and below these directories is gone, save what is in or below an anchor in `stops`."""
        kept = sorted(stops)
        for path in paths:
            for id_, directory in self._tables.directories.below(path, kept):
                self._file.on_progress()
                for part in self._tables.entries.covered(id_, None, None):
                    rows = part.entries()
                    living = [row for row in rows.values() if row.kind != GONE]
                    self._bury(id_, directory, living, at, rows.places)
                self._debts.forgive(directory)

    def presume(self, top: bytes, path: bytes) -> tuple[bytes, bytes] | None:
        """The directories below `top` on the way to a path, and this one, are there, as far as is known: each has a row from now
        on, so that a look that does not find it ends what is below it. No debt is paid by that.

        Returns the first one that had no row, as directory and name; None if all had one.
        """
        first = None
        above = top
        for name in path[len(top) :].strip(b"/").split(b"/"):
            if not self._tables.directories.is_directory(above, name):
                first = first or (above, name)
                id_, _ = self._tables.directories.id_of(above)
                record = Looks(above, self._debts.wall_ns(), [name], A_DIRECTORY, [])
                self._merge(id_, record, self._tables.entries.named(id_, [name]), (), False, (), [])
            above = join(above, name)
        return first

    def leave_out(self, id_: int, path: bytes, rows: Sequence[Known], *, forget: bool) -> None:
        """These rows of a directory are none of ours any more: gone for those who hold them, or forgotten without a word."""
        at = self._debts.wall_ns()
        owed = [row.name for row in rows if row.name in self._debts.owed.get(path, ())]
        if owed:
            self._debts.pay(path, owed, at)
        self._bury(id_, path, rows, at, forget=forget)

    def _bury(
        self,
        id_: int,
        directory: bytes,
        rows: Iterable[Known],
        at: int,
        places: Mapping[bytes, Place] = _NO_PLACES,
        *,
        forget: bool = False,
    ) -> None:
        changes = Changes()
        for row in rows:
            bury(changes, row, at, self._ticks, forget=forget)
        self._write(id_, changes, at, places)
        self._tables.directories.forget_if_empty(id_, directory)

    # -- lanes

    def lane(self, path: bytes, directory: bool) -> int | None:
        """The lane that a row has under these settings; None: it is no event."""
        if directory and not self._directories_are_events:
            return None
        return self._lane_of(path) if self._lane_of else 0

    def take_lanes(self, lane_of: Callable[[bytes], int] | None) -> None:
        """Rows get other lanes from now on."""
        self._lane_of = lane_of

    def relane(self, id_: int, row: Known, lane: int) -> None:
        """Gives a row another lane; it is pending there."""
        self._tables.writer.relane(id_, row, lane, self._ticks.next(), self._holding(row))

    def leave_unsaid(self, id_: int, path: bytes, row: Known, *, forget: bool) -> None:
        """A directory whose row stays, but is an event no more: gone for those who hold it, or forgotten without a word."""
        if forget and row.kind == GONE:
            self._bury(id_, path, [row], self._debts.wall_ns(), forget=True)
            return
        self._ticks.newest.forget(row.tick)
        held = 0 if forget else self._holding(row)
        if held or row.kind == GONE:
            self._tables.writer.relane(id_, row, LEFT_OUT, self._ticks.next(), held, self._debts.wall_ns())
        else:
            self._tables.writer.relane(id_, row, None, 0, 0)

    def _holding(self, row: Known) -> int:
        """The groups that hold the path of a row which loses its tick."""
        if row.lane is None:
            return 0
        self._ticks.newest.forget(row.tick)
        return self._ticks.holders.superseded(row.lane, row.tick, row.held, there=tells_there(row))


def _part(listing: Listing, after: bytes | None, upto: bytes | None) -> Listing:
    """What a listing says of the names after `after` up to `upto`, a part of what it covers."""
    if (after, upto) == (listing.after, listing.upto):
        return listing
    seen = listing.seen.chosen([(after is None or name > after) and (upto is None or name <= upto) for name in listing.names])
    births = {name: listing.births[name] for name in seen.names if name in listing.births}
    return Listing(listing.path, listing.at, *seen, after, upto, births)


def _without(record: _Record, names: frozenset[bytes]) -> _Record:
    """A record without some of the names that are there."""
    if not names:
        return record
    seen = record.seen.chosen([name not in names for name in record.names])
    return msgspec.structs.replace(record, names=seen.names, stats=seen.stats)
