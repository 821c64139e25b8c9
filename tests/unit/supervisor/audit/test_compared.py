"""What an audit compares, over a tree and an index that a test makes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from shardwatch.supervisor.audit.audit import Audit

FILE = (1, 1, 2, 1, 0, 0, 0)
AWAY = b"/r/\xff"


class Disk:
    """A root in which a filesystem is not mounted now: its mount point is empty."""

    def __init__(self) -> None:
        self.unreadable: set[bytes] = set()
        self.silent: set[bytes] = set()

    def directories(self, wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, dict[Any, Any]]]:
        yield b"/r", {(b"\xff", 1): (2,)}
        if wanted(AWAY):
            yield AWAY, {}

    def at(self, path: bytes) -> dict[Any, Any]:
        return {}


class Index:
    """Has kept what was on it."""

    def directories(self) -> list[bytes]:
        return [b"/r", AWAY]

    def names(self, path: bytes) -> dict[Any, Any]:
        return {(b"a", 0): FILE} if path == AWAY else {(b"\xff", 1): (2,)}

    def at(self, directory: bytes, name: bytes) -> dict[Any, Any]:
        return {(b"a", 0): FILE} if directory == AWAY else {}

    def damage(self) -> str:
        return ""


class Service:
    """Names what it can't see in text, as a reply does."""

    def sync(self) -> Sequence[bytes]:
        return [AWAY.decode("utf-8", "replace").encode()]

    def look(self, paths: Sequence[bytes]) -> None:
        raise AssertionError("nothing differs")


def test_what_the_service_can_not_see_is_not_compared_whatever_its_name() -> None:
    """The rows of a filesystem that is away are kept, and are no differences, also where the name is not UTF-8."""
    disk: Any = Disk()
    index: Any = Index()
    findings = Audit(disk, index, Service(), lambda directories: None).run(repair=True)
    assert findings.differences == []
    assert findings.not_compared == [b"/r/\xef\xbf\xbd"]
