"""`content_only`: consumers are spared changes of mode, owner, attributes and links; every write is told all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Running, consuming, running, settings_for
from waiting import eventually


def _chmod(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ 0o040)


def _same_mode(path: Path) -> None:
    path.chmod(path.stat().st_mode)


def _chown(path: Path) -> None:
    os.chown(path, os.getuid(), os.getgid())


def _read_time(path: Path) -> None:
    st = path.stat()
    os.utime(path, ns=(st.st_atime_ns + 10**9, st.st_mtime_ns))


def _link(path: Path) -> None:
    """A second name in the tree, which leads to the first: making it gives that one's directory no hint of it."""
    path.with_name("linked.ast.json").hardlink_to(path)


ATTRIBUTES: list[Callable[[Path], None]] = [_chmod, _same_mode, _chown, _read_time, _link]


def _write(path: Path) -> None:
    path.write_text("something else")


def _write_as_long(path: Path) -> None:
    path.write_text("x" * path.stat().st_size)


def _touch(path: Path) -> None:
    path.touch()


def _replace(path: Path) -> None:
    st = path.stat()
    other = path.with_name("other.tmp")
    other.write_text("y" * st.st_size)
    os.utime(other, ns=(st.st_atime_ns, st.st_mtime_ns))
    other.replace(path)


CONTENT: list[Callable[[Path], None]] = [_write, _write_as_long, _touch, _replace]


@pytest.mark.parametrize("content_only", [False, True])
def test_what_is_told_of_attributes(tree: Path, state_dir: Path, no_leaks: None, content_only: bool) -> None:
    """Without the option each of them is `modified`; with it none is, and what may be a write always is."""
    path = tree / "pkg" / "a.ast.json"
    settings = settings_for(tree, content_only=content_only, settle_ms=20)
    with running(state_dir, settings) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, tree)

        def told(change: Callable[[Path], None]) -> bool:
            before = len(consumer.events)
            change(path)
            _settled(service)
            return ("modified", os.fsencode(path)) in consumer.events[before:]

        for change in ATTRIBUTES:
            assert told(change) is not content_only, change
        for change in CONTENT:
            assert told(change), change
        service.assert_mirrored(consumer, tree)


def _settled(service: Running) -> None:
    """Everything is in the index, and the consumer has it."""
    service.client.sync(60, patience_s=20)

    def nothing_pending() -> bool:
        (group,) = service.client.groups()
        return not (group["backlog"] or group["leased"] or group["retrying"])

    eventually(nothing_pending, 30)
