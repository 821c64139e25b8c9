"""Of two backends beside each other, one that had no room is tried again; one that is forbidden is not."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.backend.beside import FANOTIFY, INOTIFY, BesideBackend
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.tree.nodes import Top

S = 10**9


class Scarce:
    """Opens inotify as soon as there is no error any more; fanotify is forbidden, or not wanted (`alone`)."""

    def __init__(self, directory: Path, *, alone: bool) -> None:
        self.error: OSError | None = OSError(errno.EMFILE, "")
        self.now = 0
        #: How often fanotify is tried: once, for what is forbidden stays so.
        self.forbidden = 0 if alone else 1
        self.tries = {INOTIFY: 0, FANOTIFY: 0}
        self.backend = BesideBackend(self.inotify, None if alone else self.fanotify, clock=lambda: self.now)
        self.top = Top(os.fsencode(directory), 0)
        self.fd = os.open(directory, os.O_RDONLY)

    def inotify(self) -> InotifyBackend:
        self.tries[INOTIFY] += 1
        if self.error is not None:
            raise self.error
        return InotifyBackend()

    def fanotify(self) -> InotifyBackend:
        self.tries[FANOTIFY] += 1
        raise OSError(errno.EPERM, "")

    def watches(self) -> bool:
        try:
            self.backend.watch(self.fd, self.top)
        except OSError as error:
            assert error.errno == errno.ENOSPC and "instance" in str(error)
            return False
        return True


@pytest.fixture(params=[False, True], ids=["beside fanotify", "alone"])
def scarce(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scarce]:
    made = Scarce(tmp_path, alone=request.param)
    yield made
    made.backend.close()
    os.close(made.fd)


def test_an_instance_that_is_free_again_is_used(scarce: Scarce, caplog: pytest.LogCaptureFixture) -> None:
    """Without a restart; it is tried once in ten seconds, and said once."""
    caplog.set_level(logging.WARNING)
    assert not scarce.watches()
    scarce.now += 9 * S
    assert not scarce.watches() and scarce.tries == {INOTIFY: 1, FANOTIFY: scarce.forbidden}
    scarce.now += S
    assert not scarce.watches() and scarce.tries == {INOTIFY: 2, FANOTIFY: scarce.forbidden}
    assert scarce.backend.is_impossible(INOTIFY)
    scarce.error = None
    scarce.now += 10 * S
    assert scarce.watches() and scarce.top.wd >= 0 and scarce.backend.watches() == 1
    assert not scarce.backend.is_impossible(INOTIFY)
    assert (scarce.backend.name, scarce.backend.second()) == (INOTIFY, None)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if line.startswith("inotify")] == [
        "inotify can't be used: no inotify instance left", "inotify can be used again",
    ]  # fmt: skip


def test_a_directory_that_is_refused_again_and_again_leaves_nothing_behind(scarce: Scarce) -> None:
    """The tracebacks of the errors do not grow."""

    def depth() -> int:
        with pytest.raises(OSError) as caught:
            scarce.backend.watch(scarce.fd, scarce.top)
        return len(caught.traceback)

    depth()
    assert len({depth() for _ in range(20)}) == 1
