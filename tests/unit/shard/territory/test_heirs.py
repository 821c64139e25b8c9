"""What a shard watches in advance is told by nobody but its owner."""

from __future__ import annotations

from entries import seen

from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.contract.wire.frames import Gone, Listing, Looks, Record
from shardwatch.shard.territory.heirs import NAMES_MAX, NOTED_MAX, Heirs
from shardwatch.shard.territory.place import Place
from shardwatch.shard.territory.reports import Reports
from shardwatch.shard.territory.swept import Swept
from shardwatch.shard.tree.racy import RacyNames

NOTHING = seen(())


def made() -> tuple[list[Record], Reports, Heirs]:
    """Silent about /r/a, but not about /r/a/own, which the shard has."""
    told: list[Record] = []
    reports = Reports(told.append, Swept(lambda: 0), RacyNames(), lambda: None)
    heirs = Heirs(reports)
    places = [Place(n, Anchor(path, "s0", b"/r")) for n, path in enumerate((b"/r/a", b"/r/a/own", b"/r/z"))]
    heirs.be_silent(places[:1], places[1:], frozenset((b"/r",)))
    return told, reports, heirs


def looks(path: bytes, *names: bytes) -> Looks:
    return Looks(path, 1, [], b"", list(names))


def test_only_what_is_not_owned_yet_is_kept_back() -> None:
    """Until that changes."""
    told, reports, heirs = made()
    for path in (b"/r/a", b"/r/a/deep", b"/r/a/own", b"/r/a/own/deep", b"/r/z", b"/r/ab"):
        reports.nothing_in(path, 1)
    reports.gone(b"/r/a", 1)
    reports.gone(b"/r/z", 1)
    assert [record.path for record in told if isinstance(record, Listing)] == [b"/r/a/own", b"/r/a/own/deep", b"/r/z", b"/r/ab"]
    assert [record.path for record in told if isinstance(record, Gone)] == [b"/r/z"]
    heirs.speak()
    heirs.speak()
    reports.gone(b"/r/a", 2)
    assert told[-1] == Gone(b"/r/a", 2) and not heirs.places


def test_of_many_names_in_one_directory_none_is_noted() -> None:
    """All of the directory is looked at."""
    _, reports, heirs = made()
    heirs.note_changes()
    names = [b"%d" % n for n in range(NAMES_MAX + 1)]
    reports.emit(looks(b"/r/a", *names[:-1]))
    assert heirs.noted() == [(b"/r/a", sorted(names[:-1]))]
    reports.emit(looks(b"/r/a", names[-1]))
    reports.emit(looks(b"/r/a", b"more"))
    assert heirs.noted() == [(b"/r/a", [])]


def test_what_was_seen_since_all_was_looked_at_is_noted() -> None:
    """In the order in which the directories came; a listing stands for all names."""
    _, reports, heirs = made()
    reports.emit(looks(b"/r/a/x", b"before"))
    heirs.note_changes()
    reports.emit(looks(b"/r/a/y", b"2", b"1"))
    reports.emit(looks(b"/r/a/x", b"3"))
    reports.emit(looks(b"/r/a/y", b"4"))
    reports.emit(looks(b"/r/z", b"told"))
    reports.nothing_in(b"/r/a/x", 1)
    reports.emit(looks(b"/r/a/x", b"5"))
    reports.gone(b"/r/a", 1)
    assert heirs.noted() == [(b"/r/a/y", [b"1", b"2", b"4"]), (b"/r/a/x", [])]
    heirs.speak()
    assert heirs.noted() == []


def test_the_last_changes_are_noted() -> None:
    """The first ones are looked at by the scan that follows."""
    _, reports, heirs = made()
    heirs.note_changes()
    for n in range(NOTED_MAX + 10):
        reports.emit(looks(b"/r/a/d%d" % n, b"f"))
    noted = heirs.noted()
    assert len(noted) == NOTED_MAX and noted[-1][0] == b"/r/a/d%d" % (NOTED_MAX + 9)
