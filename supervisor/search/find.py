"""Finds files in the index of a running service: the public function `find`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from shardwatch.aggregator.index import finding
from shardwatch.aggregator.index.finding import FoundRow, Wanted
from shardwatch.aggregator.index.reading import IndexReader
from shardwatch.shard.contract.errors import NotRunningError, UsageError
from shardwatch.shard.contract.filter.pattern import PATTERN_CHARS_MAX
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.state.layout import Layout

from ..config.patterns import check_place, checked
from ..service import service
from ..service.served import served_settings

#: Largest values of the arguments: a thousand years in seconds, and what SQLite can compare with.
_SECONDS_MAX: Final = 1000 * 366 * 86_400.0
_BYTES_MAX: Final = 2**63 - 1


class FoundFile(NamedTuple):
    """A file or a link, as the index knows it."""

    #: Absolute; can be opened, whatever bytes it consists of.
    path: str
    #: Bytes.
    size: int
    #: When it was modified, nanoseconds since 1970.
    mtime_ns: int
    #: The number of its last change.
    tick: int
    #: When the service saw that change, seconds since 1970.
    observed_at: float


def find(
    state_dir: Path | str, *patterns: str, changed_within_s: float | None = None, larger: int | None = None
) -> Iterator[FoundFile]:
    """Finds files that the service in `state_dir` watches. Reads its index only, a page at a time, and blocks nobody.

    Args:
        patterns: gitignore patterns relative to a root, as for `include`; `*` if there is none.
        changed_within_s: only files whose time of modification is not longer ago, in seconds.
        larger: only files of more bytes than this.

    The order is not defined. A file that changes in the meantime, or has changed in the last second while many do, is returned
    as it was or as it is. A file that the service has not reached with its first scan is missing.

    Raises UsageError for a wrong argument, NotRunningError if no service runs there. The iterator raises ServiceError if the
    index cannot be read.
    """
    layout = Layout(arguments.path("state_dir", state_dir))
    if larger is not None:
        arguments.whole("larger", larger, 0, _BYTES_MAX)
    within_s = None if changed_within_s is None else arguments.seconds("changed_within_s", changed_within_s, 0.0, _SECONDS_MAX)
    texts = [arguments.text("pattern", pattern, PATTERN_CHARS_MAX) for pattern in patterns]
    return _files(pages(layout, texts, within_s, larger))


def pages(
    layout: Layout, patterns: Sequence[str], changed_within_s: float | None, larger: int | None
) -> Iterator[list[FoundRow]]:
    """What `find` finds, in pages of at most 20,000 files, as the index has them. Checks the patterns and the service."""
    wanted = Wanted(
        patterns=checked("patterns", patterns or ["*"], "find"),
        larger=-1 if larger is None else larger,
        since_ns=None if changed_within_s is None else max(0, time.time_ns() - round(changed_within_s * 10**9)),
    )
    try:
        running = service.running(layout)
    except OSError as error:  # the name is too long, or what leads to it can't be entered
        reason = f"the state directory {shown(os.fspath(layout.state_dir))} can't be opened: {error.strerror}"
        raise UsageError(reason, hint="give the one of a running service") from None
    if not running:
        raise NotRunningError(f"no service runs in {layout.state_dir}", hint="start it with `shardwatch up`")
    roots = served_settings(layout).roots
    for pattern in wanted.patterns:
        check_place(pattern, roots)
    return _read(layout, roots, wanted)


def _read(layout: Layout, roots: Sequence[bytes], wanted: Wanted) -> Iterator[list[FoundRow]]:
    with IndexReader(layout.index_db) as reader:
        yield from finding.find(reader, roots, wanted)


def _files(pages: Iterator[list[FoundRow]]) -> Iterator[FoundFile]:
    for page in pages:
        for path, size, mtime_ns, at_ns, tick in page:
            yield FoundFile(os.fsdecode(path), size, mtime_ns, tick, at_ns / 10**9)
