"""What makes two stats the same file, unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from shardwatch.shard.contract.files.identity import RACY_NS_MAX, Verdict, alike, compare, moved, racy, unit_ns
from shardwatch.shard.contract.files.packed import FILE, LINK

SECOND = 10**9
NOW = 1_700_000_000 * SECOND + 123_456_789
WHOLE = 1_700_000_000 * SECOND

SAME, NOTED, CHANGED = Verdict.SAME, Verdict.NOTED, Verdict.CHANGED
FIELDS = ("ino", "size", "mtime_ns", "ctime_ns", "dev", "nlink", "kind", "racy")


def stat(**fields: int) -> Any:
    """What `compare` takes, in the order of FIELDS."""
    return tuple(
        ({"kind": FILE, "dev": 1, "ino": 10, "nlink": 1, "size": 5, "mtime_ns": NOW, "ctime_ns": NOW, "racy": 0} | fields)[f]
        for f in FIELDS
    )


#: What the row says otherwise, what was seen otherwise, the verdict, and that with `content_only`.
VERDICTS = {
    "equal": ({}, {}, SAME, SAME),
    "seen too early": ({}, {"racy": 1}, SAME, SAME),
    "the known one was seen too early": ({"racy": 1}, {}, CHANGED, CHANGED),
    "another mount": ({}, {"dev": 9}, NOTED, NOTED),
    "another mount, and it was seen too early": ({"racy": 1}, {"dev": 9}, CHANGED, CHANGED),
    "another number of links": ({}, {"nlink": 2}, NOTED, NOTED),
    "another inode": ({}, {"ino": 11}, CHANGED, CHANGED),
    "another inode on another mount": ({}, {"ino": 11, "dev": 9}, CHANGED, CHANGED),
    "an inode number that means nothing any more": ({}, {"ino": 0}, NOTED, NOTED),
    "inode numbers that mean nothing": ({"ino": 0}, {"ino": 0}, SAME, SAME),
    "another size": ({}, {"size": 6}, CHANGED, CHANGED),
    "written": ({}, {"mtime_ns": NOW + 1, "ctime_ns": NOW + 1}, CHANGED, CHANGED),
    "another mode": ({}, {"ctime_ns": NOW + 1}, CHANGED, NOTED),
    "linked": ({}, {"ctime_ns": NOW + 1, "nlink": 2}, CHANGED, NOTED),
    "written with the time put back": ({}, {"ctime_ns": NOW + 1, "size": 6}, CHANGED, CHANGED),
    "replaced with the time put back": ({}, {"ctime_ns": NOW + 1, "ino": 11}, CHANGED, CHANGED),
    "another mode after a write that was seen too early": ({"racy": 1}, {"ctime_ns": NOW + 1}, CHANGED, CHANGED),
    "another mode after a mode that was seen too early": (
        {"racy": 1, "mtime_ns": NOW - 1}, {"ctime_ns": NOW + 1, "mtime_ns": NOW - 1}, CHANGED, NOTED,
    ),
    "the same where times are whole seconds, within one of them": (
        {"racy": 1, "mtime_ns": WHOLE, "ctime_ns": WHOLE + SECOND},
        {"mtime_ns": WHOLE, "ctime_ns": WHOLE + SECOND}, CHANGED, CHANGED,
    ),
    "the same where times are whole seconds, later": (
        {"racy": 1, "mtime_ns": WHOLE, "ctime_ns": WHOLE + 3 * SECOND},
        {"mtime_ns": WHOLE, "ctime_ns": WHOLE + 3 * SECOND}, CHANGED, NOTED,
    ),
    "the same where a program has set the time of the last write to a later one": (
        {"racy": 1, "mtime_ns": NOW + SECOND}, {"ctime_ns": NOW + 1, "mtime_ns": NOW + SECOND}, CHANGED, CHANGED,
    ),
    "a link in the place of a file": ({}, {"kind": LINK}, CHANGED, CHANGED),
}  # fmt: skip


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts(case: str) -> None:
    """Only what proves nothing of the content is noted; nothing that may be a write is."""
    known, seen, verdict, content_only = VERDICTS[case]
    assert compare(stat(**known), stat(**seen)) is verdict
    assert compare(stat(**known), stat(**seen), content_only=True) is content_only


@pytest.mark.parametrize(
    ("ctime", "age", "wanted"),
    [
        (NOW, 0, True),
        (NOW, 1, False),  # the kernel's tick has passed
        (NOW, -5_000_000, True),  # finer than the coarse clock
        (NOW, -90 * SECOND, False),  # a time to come: no write of now will have it again
        (WHOLE, 300_000_000, True),  # ext4 with inodes of 128 bytes: the second is not over
        (WHOLE, SECOND + 1, True),  # FAT has two seconds
        (WHOLE, 2 * SECOND, False),
        (WHOLE + 40_000_000, 5_000_000, True),  # exFAT: 10 ms
        (WHOLE + 40_000_000, 200_000_000, False),
    ],
)
def test_a_look_is_racy_as_long_as_another_write_could_leave_the_same_time(ctime: int, age: int, wanted: bool) -> None:
    """The unit of a time is the filesystem's, as far as its digits tell."""
    assert racy(ctime, ctime + age) is wanted


def test_no_look_is_racy_for_longer_than_is_said() -> None:
    """Who looks again after that knows."""
    for ctime in (NOW, WHOLE, WHOLE + SECOND, WHOLE + 1_000_000):
        assert unit_ns(ctime) <= RACY_NS_MAX
        assert not racy(ctime, ctime + RACY_NS_MAX)


def test_only_what_was_there_before_can_have_moved() -> None:
    """An inode number is used again; a time of birth can't lie before the last change of the file that was there."""
    assert moved(NOW, NOW - SECOND)
    assert moved(NOW, NOW)  # never changed since it was made
    assert not moved(NOW, NOW + 1)
    assert not moved(NOW, 0)  # the filesystem does not know
    assert not moved(WHOLE, WHOLE)  # within the same second, or an hour before: nobody can tell
    assert moved(WHOLE + SECOND, WHOLE)


def test_an_audit_compares_by_the_same_rules() -> None:
    """Device numbers count for nothing, and neither do inode numbers that are invented; a file is no directory."""
    file = (FILE, 1, 10, 1, 5, NOW, NOW)
    assert alike(file, (*file[:1], 9, *file[2:]))
    assert alike(file, (*file[:2], 0, *file[3:]))
    for index in (0, 2, 4, 5, 6):
        assert not alike(file, (*file[:index], 99, *file[index + 1 :]))
    assert alike((2,), (2,))
    assert not alike((2,), file)
    assert not alike(None, file)
    assert alike(None, None)
