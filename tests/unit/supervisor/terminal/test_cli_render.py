"""What people read: lines that no file name can forge, and sizes, tables and banners."""

from __future__ import annotations

import io
import os
import unicodedata

import pytest

from shardwatch.supervisor.terminal import render, tables

EVENT = {
    "type": "event",
    "event_type": "created",
    "path": "/r/a.json",
    "is_directory": False,
    "size": 1234,
    "mtime_ns": 1,
    "tick": 3,
    "observed_at": 1.0,
}


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_event_line_says_what_where_and_how_large() -> None:
    """A created file: kind, path and size, in aligned columns."""
    assert render.event_line(EVENT) == "created   /r/a.json  1.2 kB"


def test_event_line_of_a_deletion_has_no_size() -> None:
    """Nothing is known of what is gone."""
    assert render.event_line({**EVENT, "event_type": "deleted", "size": None}) == "deleted   /r/a.json"


def test_event_line_of_a_directory_ends_in_a_slash() -> None:
    """A directory is told from a file by its slash."""
    assert render.event_line({**EVENT, "is_directory": True}) == "created   /r/a.json/"


def test_event_line_of_a_move_shows_both_places() -> None:
    """Where it was and where it is."""
    line = render.event_line({**EVENT, "event_type": "moved", "moved_from": "/r/b.json"})
    assert line == "moved     /r/b.json -> /r/a.json  1.2 kB"


def test_fresh_line_tells_to_drop_the_mirror() -> None:
    """A person understands `fresh` too."""
    assert "every file follows as created" in render.event_line({"type": "fresh", "tick": 1, "reason": "index was lost"})


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\rb", "a\x7fb", "a\u2028b", "a\u202eb", "a\x9bb"])
def test_no_name_can_forge_a_line_or_drive_the_terminal(name: str) -> None:
    """Control characters and separators are escaped, so that one event stays one harmless line."""
    line = render.event_line({**EVENT, "path": f"/r/{name}"})
    assert len(line.splitlines()) == 1
    assert name not in line
    assert "\\" in line


def _everything() -> str:
    """Every tenth character that there is, and all of the places where most hide. ASCII and surrogates have their own tests."""
    places = [range(0x80, 0x900), range(0x2000, 0x2100), range(0xFE00, 0x10000), range(0xE0000, 0xE0200)]
    return "".join(map(chr, [*range(0x900, 0xD800, 10), *range(0xE000, 0x110000, 1000), *(c for place in places for c in place)]))


def test_whatever_can_not_be_seen_is_an_escape() -> None:
    """All formats, controls, private and unassigned characters, odd blanks and separators; fillers and selectors of variants."""
    shown = render.readable("a".join(_everything()))
    hidden = {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp", "Zs"}
    assert {unicodedata.category(c) for c in set(shown) if c != " "} & hidden == set()
    assert not set(shown) & set("\u034f\u115f\u1160\u17b4\u2800\u3164\uffa0\ufe0f\u180b\U000e0100\U000e0001\u200b\u200f\u061c")
    plain = "äßжλ中あ한Ω→✓😀ﬁ"
    assert render.readable(plain) == plain


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\u200bb", "a\\u200bb"),
        ("a\u200fb", "a\\u200fb"),
        ("a\u061cb", "a\\u061cb"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\ufeffb", "a\\ufeffb"),
        ("a\xa0b\xad", "a\\xa0b\\xad"),
        ("a\ue000b", "a\\ue000b"),
        ("ä.json", "ä.json"),
        ("a\u0308.json", "a\u0308.json"),
        ("a" + "\u0336" * 5, "a" + "\u0336" * 3 + "\\u0336" * 2),
        ("\u0338x", "\\u0338x"),
        ("-\u0338x", "-\\u0338x"),
        ("हिन्दी.json", "हिन्दी.json"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("ä\x1b[31m\n", "ä\\x1b[31m\\n"),
    ],
)
def test_names_are_shown_as_they_are(name: str, shown: str) -> None:
    """What is plain stays, in every script; what hides, turns or piles up is an escape, also at the edge of a text of ours."""
    assert render.readable(f"/{name}") == f"/{shown}"


def test_wide_names_take_two_columns() -> None:
    """And accents none: the columns of a table stay in line."""
    lines = render.table(("name", "n"), [("中文", 1), ("a\u0301b", 2), ("abcd", 3)]).splitlines()
    assert lines == ["name  n", "中文  1", "a\u0301b    2", "abcd  3"]


@pytest.mark.parametrize("path", [b"/r/\xff.json", os.fsdecode(b"/r/\xff.json"), "/r/\ud800.json"])
def test_what_is_not_utf8_becomes_replacement_characters(path: str | bytes) -> None:
    """Bytes and surrogates alike are printable, in any encoding that has U+FFFD."""
    assert render.readable(path).encode("utf-8").decode() == "/r/\N{REPLACEMENT CHARACTER}.json"


def test_colour_only_where_asked_for() -> None:
    """The plain line has no escape code, the coloured one has."""
    assert "\x1b" not in render.event_line(EVENT)
    assert "\x1b[32m" in render.event_line(EVENT, colour=True)


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (FakeTerminal(), {}, True),
        (FakeTerminal(), {"NO_COLOR": "1"}, False),
        (FakeTerminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (None, {}, False),
    ],
)
def test_colour_is_for_terminals(stream: io.StringIO | None, environ: dict[str, str], expected: bool) -> None:
    """Pipes, files, dumb terminals and NO_COLOR stay plain."""
    assert render.wants_colour(stream, environ) is expected


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (10**12, "1.0 TB"), (10**16, "10000.0 TB")],
)
def test_sizes(count: int, text: str) -> None:
    """Units change where the figure would need four digits."""
    assert render.size_of(count) == text


@pytest.mark.parametrize(
    ("value", "noun", "text"),
    [
        (1, "directory", "1 directory"),
        (2, "directory", "2 directories"),
        (1200, "file", "1,200 files"),
        (3, "match", "3 matches"),
    ],
)
def test_counted(value: int, noun: str, text: str) -> None:
    """Numbers and their nouns agree."""
    assert render.counted(value, noun) == text


def test_table_aligns_numbers_to_the_right() -> None:
    """Text to the left, numbers to the right, no blanks at the end."""
    assert render.table(["name", "files"], [["a", 5], ["long", 12345]]) == "name   files\na          5\nlong  12,345\n"


def test_table_without_rows_is_nothing() -> None:
    """No header over nothing."""
    assert render.table(["name"], []) == ""


def test_banner_has_all_a_newcomer_asks() -> None:
    """Roots, files, directories, shards, backend and what the filter keeps."""
    ready = {"roots": ["/r"] * 6, "files": 2, "directories": 1, "shards": 1, "backend": "inotify", "ready_s": 0.5}
    ready["filter"] = "keeps *.json"
    text = render.banner(ready, state_dir="/s", resumed=False)
    for part in ("/r", "and 3 more", "2 files", "1 directory", "1 shard,", "inotify", "keeps *.json", "0.50 s", "/s"):
        assert part in text


def test_status_line_names_the_remedy() -> None:
    """Level, message and what to do."""
    line = render.status_line({"type": "status", "level": "warning", "message": "m", "remedy": "do x"}, colour=True)
    assert "warning" in line and "-> do x" in line
    assert render.event_line({"type": "status", "level": "error", "message": "m", "remedy": ""}) == "error     m"


def test_scanning_shows_nothing_without_a_terminal() -> None:
    """Logs of a build are not filled with bars."""
    stream = io.StringIO()
    bar = render.Scanning(stream)
    bar.show({"files": 1, "directories": 1})
    bar.close()
    assert not bar.shown and stream.getvalue() == ""


def test_scanning_draws_on_a_terminal_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar counts files, and leaves the terminal's cursor visible when it is closed."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = FakeTerminal()
    bar = render.Scanning(stream)
    bar.show({"files": 12345, "directories": 7, "shards": 2, "shards_ready": 1})
    bar.close()
    bar.close()
    assert bar.shown
    assert "12,345 files" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("\x1b[2K") or "\x1b[?25h" in stream.getvalue()


def test_settled_line_tells_that_it_was_all() -> None:
    """And who holds is told in words."""
    assert "all of what was held back" in render.event_line({"type": "settled"})
    rows = [{"name": "make\n", "spent": False, "held_s": 3.0}, {"name": "/r/.git/index.lock", "spent": True, "held_s": 600.0}]
    assert tables.holds_text(rows) == (
        "batches are held back by make\\n, for 3 s\nbatches flow although it is held by /r/.git/index.lock, for 10 min\n"
    )
    assert tables.holds_text([]) == ""
