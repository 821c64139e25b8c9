"""What `explain` has found out, in words."""

from __future__ import annotations

from typing import Any

import pytest

from shardwatch.aggregator.groups.standing import Standing
from shardwatch.supervisor.explanation.reach import Why
from shardwatch.supervisor.explanation.sentences import headline, of

Fields = dict[str, Any]
RULE = {"option": "include", "pattern": "*.py", "keeps": True, "at": "/r/a.py", "origin": "default", "line": None}
DISK = {"what": "file", "size": 5, "mtime_ns": 1_700_000_000 * 10**9, "obstacle": "", "at": None, "error": ""}
OWNER = {
    "shard": "s0", "anchor": "/r", "backend": "inotify", "state": "watching", "silent_s": 0.5, "pending": 0, "unacked": 0,
    "degraded": [],
}  # fmt: skip
ROW = {
    "is_directory": False, "exists": True, "size": 5, "mtime_ns": 1, "tick": 7, "observed_at": 1_700_000_001.0, "is_event": True,
    "agrees": True, "groups": [],
}  # fmt: skip
FOUND = {
    "format": 1, "path": "/r/a.py", "watched": True, "why": "kept", "is_directory": False, "state_dir": "/s", "running": True,
    "answering": True, "ready": True, "root": "/r", "rule": RULE, "ignored": None, "disk": DISK, "owner": OWNER,
    "verify_period_s": 86_400.0,
    "directories": False, "content_only": False, "rows": [ROW], "index_trouble": "", "holds": [],
}  # fmt: skip


def said(**fields: Any) -> str:
    """All sentences, each of which is checked to be one."""
    sentences = list(of(FOUND | fields))
    for sentence in sentences:
        assert sentence.endswith("."), sentence
        assert sentence[0].isupper() or sentence[0] == "/", sentence
        assert "None" not in sentence and "\n" not in sentence, sentence
    return "\n".join(sentences)


def test_a_path_that_is_watched_and_known() -> None:
    """From the root to the groups, in this order."""
    text = said(rows=[ROW | {"groups": [{"name": "g", "standing": "acknowledged"}]}])
    parts = [
        "It lies below the root /r.",
        "The pattern *.py of `include` keeps it; it is one of the default patterns.",
        "It is a file of 5 bytes, modified 2023-11-1",
        "Shard s0 looks at it, as at all of /r; its backend is inotify; its state is: watching, and was heard 0.5 s ago.",
        "It is looked at after each hint, and at least once within 24 h",
        "The index has it as a file of 5 bytes; the last change is number (tick) 7, and was found by a look at 2023-11-1",
        "That is what is on the disk.",
        "Group g was handed the change 7, and has acknowledged it.",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


@pytest.mark.parametrize("watched", [True, False, None])
def test_the_headline_is_the_path_and_the_verdict(watched: bool | None) -> None:
    """Whatever is in the name, it is one line."""
    line = headline(FOUND | {"path": "/r/a\nb", "watched": watched})
    assert "\n" not in line
    assert line.endswith({True: ": watched", False: ": not watched", None: "be told whether it is watched now"}[watched])


@pytest.mark.parametrize("why", Why)
def test_each_reason_is_a_sentence(why: Why) -> None:
    """With and without a root, an owner, and rows."""
    root = None if why is Why.OUTSIDE else "/r"
    obstacle = {Why.LINK: "link", Why.STATE_DIRECTORY: "state directory", Why.MADE_UP: "made up"}.get(why, "")
    disk = DISK | {"obstacle": obstacle, "at": "/r/l" if obstacle else None}
    ignored = {"at": "/r/b", "file": "/r/.gitignore", "line": 3, "pattern": "b/"} if why is Why.IGNORED else None
    for watched in (True, False):
        assert said(why=str(why), root=root, disk=disk, ignored=ignored, watched=watched, rule=None, owner=None)
        assert said(why=str(why), root=root, disk=disk, ignored=ignored, watched=watched, rule=None, rows=[])


def test_what_an_ignore_file_leaves_out() -> None:
    """It is named with its line; what is left out is the path, or a directory above it; `.git` needs no file."""
    line = {"at": "/r/a.py", "file": "/r/.gitignore", "line": 3, "pattern": "*.py"}
    assert "Line 3 of /r/.gitignore, `*.py`, leaves it out" in said(why="ignored", watched=False, rule=None, ignored=line)
    above = line | {"at": "/r/b"}
    assert "leaves /r/b, and all that is in it, out" in said(why="ignored", watched=False, rule=None, ignored=above)
    nothing = {"at": "/r/.git", "file": None, "line": None, "pattern": None}
    assert "`.git` is no part of a tree" in said(why="ignored", watched=False, rule=None, ignored=nothing)


STANDINGS: list[tuple[Fields, str]] = [
    ({"standing": "acknowledged"}, "has acknowledged it"),
    ({"standing": "leased", "worker": "w", "attempt": 2, "ends_in_s": 3.0}, "by worker w: attempt 2, the lease ends in 3 s"),
    ({"standing": "leased", "worker": "", "attempt": 1, "ends_in_s": 3.0}, "on lease: attempt 1"),
    ({"standing": "retrying", "failures": 2, "reason": "no", "due_in_s": 1.0}, "again in 1 s: it failed 2 times (no)"),
    ({"standing": "retrying", "failures": 0, "reason": "", "due_in_s": 0.0}, "because it was given back"),
    ({"standing": "held"}, "when an earlier state of the path is not on lease any more"),
    ({"standing": "set aside", "attempts": 5, "reason": "no"}, "aside after 5 attempts (no)"),
    ({"standing": "pending"}, "it is pending"),
    ({"standing": "before", "position": 9}, "began, or was moved to, 9"),
    ({"standing": "untold"}, "was never told that the path exists"),
    ({"standing": "waiting"}, "begins once the first scan is done"),
    ({"standing": "fresh", "reason": "why"}, "begins afresh (why)"),
    ({"standing": "of a later version"}, "says of the change 7: of a later version"),
]


@pytest.mark.parametrize(("group", "part"), STANDINGS, ids=lambda value: str(value)[:40])
def test_each_standing_of_a_group_is_a_sentence(group: Fields, part: str) -> None:
    """Of a change, and of a deletion."""
    assert part in said(rows=[ROW | {"groups": [{"name": "g", **group}]}])
    deleted = ROW | {"exists": False, "size": None, "mtime_ns": None, "groups": [{"name": "g", **group}]}
    assert ("the deletion 7" in said(rows=[deleted])) == (group["standing"] != "fresh")


def test_every_standing_has_its_sentence() -> None:
    """None of those that there are is shown as that of a later version."""
    assert {str(standing) for standing in Standing} == {group["standing"] for group, _ in STANDINGS[:-1]}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"rule": RULE | {"origin": "file /c.toml", "line": 3}}, "it comes from: file /c.toml, line 3."),
        ({"rule": RULE | {"origin": "command line"}}, "it comes from: command line."),
        ({"rule": RULE | {"origin": "unknown"}}, "where it comes from is not known"),
        ({"rule": RULE | {"keeps": False, "at": "/r/d"}, "watched": False}, "leaves out the directory /r/d above it"),
        ({"rule": {"option": "include", "pattern": None, "keeps": False, "at": "/r/a.py", "patterns": ["*.md"], "more": 1}},
         "No pattern of `include` matches it: it is *.md, ...."),
        ({"rule": {"option": "include", "pattern": None, "keeps": False, "at": "/r/d", "patterns": ["*.md"], "more": 0}},
         "can match anything in /r/d: it is *.md."),
        ({"rule": {"option": "include", "pattern": None, "keeps": True, "at": "/r/a.py", "patterns": ["*.md"], "more": 0}},
         "Something in it may be watched"),
        ({"given": "/l/a.py"}, "/l/a.py leads there."),
        ({"disk": DISK | {"what": "nothing", "size": None}}, "It does not exist now."),
        ({"disk": DISK | {"what": "nothing", "obstacle": "missing", "at": "/r/d"}}, "because /r/d does not exist."),
        ({"disk": DISK | {"what": "nothing", "obstacle": "no directory", "at": "/r/d"}}, "because /r/d is no directory."),
        ({"disk": DISK | {"what": "unknown", "obstacle": "unanswered", "at": "/r/d"}}, "The filesystem of /r/d does not answer"),
        ({"disk": DISK | {"what": "unknown", "obstacle": "unreadable", "at": "/r/d", "error": "no"}}, "be read by you (no)"),
        ({"disk": DISK | {"size": 1}}, "a file of 1 byte,"),
        ({"disk": DISK | {"mtime_ns": 2**63 - 1}}, "modified 2262-04-1"),
        ({"is_directory": True, "disk": DISK | {"what": "directory", "size": None}}, "Directories are no events themselves"),
        ({"content_only": True}, "cannot have changed the content"),
        ({"owner": None}, "There is no plan yet"),
        ({"owner": OWNER | {"state": None, "silent_s": None}}, "its backend is inotify."),
        ({"owner": OWNER | {"pending": 2}}, "the shard had 2 names to look at"),
        ({"owner": OWNER | {"unacked": 1}}, "the index had 1 message of the shard"),
        ({"owner": OWNER | {"degraded": [{"path": "/r", "state": "polled", "directories": 3, "reason": "why", "remedy": "do"}]}},
         "/r: 3 directories at or below it polled instead of watched, so changes are seen later (why) -> do."),
        ({"owner": OWNER | {"degraded": [{"path": "/r", "state": "fanotify", "directories": 3, "reason": "why", "remedy": ""}]}},
         "/r: some directories at or below it watched by fanotify (why)."),
        ({"owner": OWNER | {"degraded": [{"path": "/r", "state": "unreadable", "directories": 1, "reason": "", "remedy": ""}]}},
         "/r: unreadable."),
        ({"ready": False}, "The first scan is not finished"),
        ({"verify_period_s": 0.0}, "not without one"),
        ({"rows": []}, "The index has nothing of it yet"),
        ({"rows": [], "disk": DISK | {"what": "nothing"}}, "it was never seen, or no group has to be told"),
        ({"rows": [], "watched": False}, "The index has nothing of it."),
        ({"rows": [], "index_trouble": "it is damaged"}, "is not known: it is damaged."),
        ({"rows": [ROW | {"agrees": False}]}, "That is not what is on the disk"),
        ({"rows": [ROW | {"is_event": False, "is_directory": True, "size": None}]}, "directory; the last change was found by"),
        ({"rows": [ROW | {"groups": []}]}, "There is no group yet"),
        ({"rows": [ROW | {"groups": None}]}, "What groups were told is not known"),
        ({"running": False, "answering": False, "rows": [ROW | {"groups": None}]}, "No service runs now"),
        ({"answering": False, "rows": [ROW | {"groups": None}]}, "The service does not answer"),
        ({"holds": ["build"]}, "held back now, by build."),
    ],
)  # fmt: skip
def test_each_fact_is_a_sentence(fields: Fields, part: str) -> None:
    """And it says so in the words of the manual."""
    assert part in said(**fields)
