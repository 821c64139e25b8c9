"""`FileEventProcessor`: which events matter, and what a burst of them amounts to."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch import FileEvent, FileEventProcessor, WatcherConfig
from shardwatch.shard.contract.errors import UsageError


def at(path: str, kind: str, time: float, size: int | None = None, *, source: str | None = None) -> FileEvent:
    return FileEvent(Path(path), kind, time, size, moved_from=Path(source) if source else None)


# Filter ---------------------------------------------------------------------------------------------------------------


async def test_filter_keeps_ast_files_and_their_order() -> None:
    """Source files, temporary files and build output are left out."""
    wanted = [at("/r/a.ast.json", "created", 1), at("/r/x/ast/b.json", "modified", 2), at("/r/c.json", "deleted", 3)]
    noise = [
        at("/r/a.py", "modified", 1),
        at("/r/.git/x.json", "created", 1),
        at("/r/deep/node_modules/p/package.json", "created", 1),
        at("/r/a.json.tmp", "created", 1),
    ]
    mixed = [wanted[0], *noise[:2], wanted[1], *noise[2:], wanted[2]]
    assert await FileEventProcessor().filter_relevant_events(mixed) == wanted


async def test_filter_drops_directories_and_what_is_no_change() -> None:
    """A directory may be named like a file of ours; watchdog tells of files that were only opened."""
    directory = FileEvent(Path("/r/x.json"), "created", 1.0, is_directory=True)
    events = [directory, at("/r/a.json", "opened", 1), at("/r/a.json", "closed", 1)]
    assert await FileEventProcessor().filter_relevant_events(events) == []


async def test_patterns_are_relative_to_the_deepest_root() -> None:
    """A root below a directory called build is not itself build output."""
    event = at("/home/build/proj/a.json", "created", 1)
    assert await FileEventProcessor().filter_relevant_events([event]) == []
    assert await FileEventProcessor(roots=["/home/build/proj"]).filter_relevant_events([event]) == [event]
    assert await FileEventProcessor(roots=["/home"]).filter_relevant_events([event]) == []
    both = FileEventProcessor(roots=["/home", "/home/build/proj/", "/elsewhere"])
    assert await both.filter_relevant_events([event]) == [event]
    whole = FileEventProcessor(WatcherConfig(["/a/*.json"]), roots=["/"])
    assert await whole.filter_relevant_events([at("/a/x.json", "created", 1)]) != []


async def test_a_path_outside_all_roots_is_matched_without_its_slash() -> None:
    """A root is no prefix of its neighbour's name; an anchored pattern begins at the file system's root then."""
    processor = FileEventProcessor(WatcherConfig(["/rot/*.json"]), roots=["/ro"])
    inside = at("/rot/a.json", "created", 1)
    assert await processor.filter_relevant_events([inside, at("/rot/deep/a.json", "created", 1)]) == [inside]


async def test_a_relative_path_is_matched_as_it_is() -> None:
    """Nobody says what it is relative to."""
    event = at("a.json", "created", 1)
    assert await FileEventProcessor(roots=["/r"]).filter_relevant_events([event, at("a.py", "created", 1)]) == [event]


async def test_names_that_are_not_utf8_are_matched_by_their_bytes() -> None:
    """The suffix is all that counts."""
    event = FileEvent(Path(os.fsdecode(b"/r/\xff\xfe/a\xff.json")), "created", 1.0)
    assert await FileEventProcessor(roots=["/r"]).filter_relevant_events([event]) == [event]


async def test_a_move_counts_by_the_names_that_are_wanted() -> None:
    """An atomic save is a move from a temporary name: the temporary one is no business of the user's."""
    whole = at("/r/b.json", "moved", 1, 5, source="/r/a.json")
    came = at("/r/b.json", "moved", 1, 5, source="/r/b.json.tmp")
    left = at("/r/b.json.tmp", "moved", 1, 5, source="/r/b.json")
    noise = at("/r/b.tmp", "moved", 1, 5, source="/r/a.tmp")
    unknown = at("/r/b.json", "moved", 1, 5)
    assert await FileEventProcessor().filter_relevant_events([whole, came, left, noise, unknown]) == [
        whole,
        at("/r/b.json", "created", 1, 5),
        at("/r/b.json", "deleted", 1),
        at("/r/b.json", "created", 1, 5),
    ]


def test_a_bad_pattern_is_refused_at_once() -> None:
    """Not when the first event comes."""
    with pytest.raises(UsageError):
        FileEventProcessor(WatcherConfig(["a/**b["]))


# Debounce -------------------------------------------------------------------------------------------------------------


async def test_the_last_state_of_a_burst_survives() -> None:
    """Trailing edge: the size that is told is the one after the last write."""
    events = [at("/a.json", "modified", 10.0, 1), at("/a.json", "modified", 10.2, 2), at("/a.json", "modified", 10.6, 3)]
    assert await FileEventProcessor().debounce_events(events) == [events[-1]]


async def test_bursts_further_apart_than_the_period_stay_separate() -> None:
    """Exactly the period belongs to the burst."""
    events = [at("/a.json", "modified", 10.0, 1), at("/a.json", "modified", 10.75, 2), at("/a.json", "modified", 11.25, 3)]
    assert await FileEventProcessor().debounce_events(events, 0.5) == [events[0], events[2]]
    assert await FileEventProcessor().debounce_events(events, 0.75) == [events[2]]
    assert await FileEventProcessor().debounce_events(events, 0.25) == events


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["created", "modified"], "created"),
        (["created", "deleted"], "deleted"),
        (["created", "deleted", "created"], "modified"),
        (["deleted", "created"], "modified"),
        (["modified", "deleted"], "deleted"),
        (["deleted", "created", "modified"], "modified"),
    ],
)
async def test_a_burst_is_told_as_one_kind(kinds: list[str], told: str) -> None:
    """A deletion is never suppressed: whoever is told may have had the file before."""
    events = [at("/a.json", kind, 1 + i / 10) for i, kind in enumerate(kinds)]
    assert [(e.event_type, e.timestamp) for e in await FileEventProcessor().debounce_events(events)] == [
        (told, events[-1].timestamp)
    ]


async def test_debounce_sorts_by_the_last_events_time() -> None:
    """The events come in any order and are not changed."""
    events = [at("/b.json", "modified", 2.0), at("/a.json", "modified", 2.3), at("/a.json", "created", 1.9)]
    copies = [FileEvent(e.path, e.event_type, e.timestamp) for e in events]
    assert await FileEventProcessor().debounce_events(events) == [
        at("/b.json", "modified", 2.0),
        at("/a.json", "created", 2.3),
    ]
    assert events == copies


async def test_what_has_the_same_time_is_grouped_by_directory() -> None:
    """A bulk operation's events stay together where order allows."""
    events = [at(f"/{d}/{n}.json", "created", 5.0) for n in "xyz" for d in "ab"]
    result = await FileEventProcessor().debounce_events(events)
    assert [str(e.path) for e in result] == [f"/{d}/{n}.json" for d in "ab" for n in "xyz"]


async def test_a_file_and_a_directory_of_one_name_are_two_things() -> None:
    """The file is gone, and a directory is there: neither hides the other."""
    events = [at("/a.json", "deleted", 1.0), FileEvent(Path("/a.json"), "created", 1.1, is_directory=True)]
    assert await FileEventProcessor().debounce_events(events) == events


async def test_a_lonely_move_stays_whole_and_a_busy_one_is_split() -> None:
    """A source that is made again must not be lost to the move."""
    move = at("/b.json", "moved", 1.0, 4, source="/a.json")
    assert await FileEventProcessor().debounce_events([move]) == [move]
    again = at("/a.json", "created", 1.1, 9)
    assert await FileEventProcessor().debounce_events([move, again]) == [
        at("/b.json", "created", 1.0, 4),
        at("/a.json", "modified", 1.1, 9),
    ]


async def test_the_highest_priority_of_a_burst_counts() -> None:
    """What was urgent stays urgent."""
    first, last = at("/a.json", "modified", 1.0), at("/a.json", "modified", 1.1)
    first.priority = 4
    assert [e.priority for e in await FileEventProcessor().debounce_events([first, last])] == [4]


@pytest.mark.parametrize("period", [-1.0, float("nan"), float("inf")])
async def test_a_wrong_period_is_refused(period: float) -> None:
    """It must be seconds from 0."""
    with pytest.raises(UsageError, match="debounce_period"):
        await FileEventProcessor().debounce_events([], period)


_EVENTS = st.lists(
    st.builds(
        at,
        st.sampled_from(["/r/a.json", "/r/b.json", "/s/c.json"]),
        st.sampled_from(["created", "modified", "deleted"]),
        st.integers(0, 40).map(lambda n: n / 10),
        st.integers(0, 5),
    ),
    max_size=30,
)


@given(events=_EVENTS, period=st.sampled_from([0.0, 0.1, 0.5, 5.0]))
async def test_debounce_ends_where_the_events_end(events: list[FileEvent], period: float) -> None:
    """Whoever applies the result holds the same files as whoever applies all; and each path's last event is there."""
    result = await FileEventProcessor().debounce_events(events, period)
    ordered = sorted(events, key=lambda event: event.timestamp)
    last = {event.path: event for event in ordered}
    for path, event in last.items():
        told = [e for e in result if e.path == path]
        assert (told[-1].timestamp, told[-1].file_size) == (event.timestamp, event.file_size)
        assert (told[-1].event_type == "deleted") == (event.event_type == "deleted")
        assert all(b.timestamp - a.timestamp > period for a, b in pairwise(told))
    assert {e.path for e in result} == set(last)
    assert [e.timestamp for e in result] == sorted(e.timestamp for e in result)
