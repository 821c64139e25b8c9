"""Questions to filesystems that may never answer: a child asks, and who waits for it has a deadline."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.kernel.scout import Scout, real_name
from shardwatch.shard.disk import slow as slow_module
from shardwatch.shard.disk.mounts import Mounts
from shardwatch.shard.disk.slow import SlowMounts, Unanswered
from shardwatch.supervisor.host import scouting
from shardwatch.supervisor.host.scouting import Scouts, check_state_dir, is_directory


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers is waited for, however busy the machine is: nobody is taken for one that hangs, nor remembered as such from an
    earlier test."""
    for name in ("ANSWER_S", "_ANSWER_S_MORE"):
        monkeypatch.setattr(scouting, name, 60.0)
    monkeypatch.setattr(scouting, "_silent", {})


@pytest.fixture
def scout(no_leaks: None) -> Iterator[Scout]:
    """One that is closed in the end."""
    it = Scout()
    yield it
    it.close()


def test_what_led_to_such_a_filesystem_a_moment_ago_is_asked_all_the_same(no_leaks: None, tmp_path: Path) -> None:
    """A link is exchanged between two looks at it."""
    with Scouts() as scouts:
        answer = scouts.ask("root", os.fsencode(tmp_path))
    assert answer is not None and answer["errno"] == 0


def stop(scout: Scout) -> None:
    """Its child hangs, as if in a system call."""
    assert scout._child is not None
    deliver(scout._child.pid, signal.SIGSTOP)


def go_on(scout: Scout) -> None:
    assert scout._child is not None
    deliver(scout._child.pid, signal.SIGCONT)


def test_what_can_be_asked(scout: Scout, tmp_path: Path) -> None:
    """Any bytes are a name; what goes wrong is an error number."""
    base = os.fsencode(tmp_path)
    os.mkdir(base + b"/d\n\xff")
    (tmp_path / "f").touch()
    (tmp_path / "l").symlink_to("f")
    assert scout.ask("answers", base, 30) == {"errno": 0}
    assert scout.ask("list", base, 30) == {"errno": 0, "directories": ["d\n\udcff"], "links": ["l"], "files": ["f"]}
    assert scout.ask("root", base + b"/l", 30) == {"errno": 0, "real": str(tmp_path / "l"), "is_file": True, "trouble": ""}
    assert scout.ask("list", base + b"/none", 30) == {"errno": errno.ENOENT}
    assert scout.ask("answers", base, 30) == {"errno": 0}


def test_who_does_not_answer_is_not_waited_for(scout: Scout, tmp_path: Path) -> None:
    """Later questions wait for the first one's answer, and nobody gets another's."""
    base = os.fsencode(tmp_path)
    assert scout.ask("answers", base, 30) is not None
    stop(scout)
    assert scout.ask("answers", base, 0.05) is None
    assert scout.waiting
    assert scout.ask("list", base, 0.05) is None
    go_on(scout)
    assert scout.ask("list", base, 30) == {"errno": 0, "directories": [], "links": [], "files": []}
    stop(scout)  # and a child that hangs is ended all the same, by `no_leaks`


def test_a_child_that_dies_is_replaced(scout: Scout, tmp_path: Path) -> None:
    """With what it was asked."""
    base = os.fsencode(tmp_path)
    scout.ask("answers", base, 30)
    assert scout._child is not None
    deliver(scout._child.pid, signal.SIGKILL)
    eventually(lambda: scout.ask("answers", base, 30))


class Slow(Mounts):
    """A table of mounts that the test writes."""

    def __init__(self, *mounts: tuple[bytes, str]) -> None:
        super().__init__()
        self.put(*mounts)

    def put(self, *mounts: tuple[bytes, str]) -> None:
        self._table = [(b"/", "ext4"), *mounts]
        self.version += 1


@pytest.fixture
def slow(tmp_path: Path, no_leaks: None) -> Iterator[tuple[SlowMounts, Slow, list[Scout]]]:
    """A shard's view of an anchor with something mounted below it."""
    made: list[Scout] = []

    def scout() -> Scout:
        made.append(Scout())
        return made[-1]

    (tmp_path / "net" / "d").mkdir(parents=True)
    mounts = Slow()
    it = SlowMounts(mounts, [os.fsencode(tmp_path)], follow=False, scout=scout)
    yield it, mounts, made
    it.close()
    mounts.close()


def test_nobody_is_asked_where_nothing_can_hang(slow: tuple[SlowMounts, Slow, list[Scout]], tmp_path: Path) -> None:
    """No child is started; nor for mounts that lie elsewhere."""
    it, mounts, made = slow
    assert it.none
    os.close(it.open(os.fsencode(tmp_path)))
    mounts.put((b"/somewhere/else", "nfs"))
    assert it.none
    os.close(it.open(os.fsencode(tmp_path / "net")))
    assert made == []


def test_what_lies_where_counts_now(slow: tuple[SlowMounts, Slow, list[Scout]], tmp_path: Path) -> None:
    """Remote is what lies below the mount, until it is unmounted or covered."""
    it, mounts, _ = slow
    net = os.fsencode(tmp_path / "net")
    mounts.put((net, "fuse.sshfs"))
    assert it.remote(net + b"/d")
    assert not it.remote(net + b"work")
    assert it.remotes() == [(net, "fuse.sshfs")]
    mounts.put((net, "fuseblk"))
    assert not it.none
    assert not it.remote(net)
    mounts.put((net, "nfs"), (net, "tmpfs"))
    assert not it.remote(net)
    mounts.put((os.fsencode(tmp_path.parent), "nfs4"))
    assert it.remotes() == [(os.fsencode(tmp_path), "nfs4")]
    mounts.put()
    assert it.none


def test_a_mount_that_does_not_answer_is_not_touched(
    slow: tuple[SlowMounts, Slow, list[Scout]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for once; then each look is refused at once, until it answers."""
    it, mounts, made = slow
    net = os.fsencode(tmp_path / "net")
    mounts.put((net, "nfs"))
    with monkeypatch.context() as patient:
        patient.setattr(slow_module, "ANSWER_S", 60.0)  # the child is started only now
        os.close(it.open(net + b"/d"))
    stop(made[0])
    eventually(lambda: refused(it, net + b"/d"))
    with pytest.raises(Unanswered) as told:
        it.open(net)
    assert (told.value.point, told.value.errno) == (net, errno.ETIMEDOUT)
    assert str(tmp_path / "net") in str(told.value.strerror)
    os.close(it.open(os.fsencode(tmp_path)))
    base = os.fsencode(tmp_path)
    assert [name for name, _ in it.silent(base, [b"net", b"other"])] == [b"net"]
    assert it.silent(base, [b"other"]) == it.silent(net, [b"net"]) == []
    with pytest.raises(Unanswered):
        it.demand(base, [b"net"])
    go_on(made[0])
    eventually(lambda: not refused(it, net))
    it.demand(base, [b"net"])
    stop(made[0])
    mounts.put()
    os.close(it.open(net))


def test_the_way_of_a_link_is_asked_wherever_it_leads(
    slow: tuple[SlowMounts, Slow, list[Scout]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over a filesystem that is mounted where nothing is watched otherwise."""
    it, mounts, made = slow
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    for name, target in (("over", elsewhere / "f"), ("here", tmp_path / "net")):
        (tmp_path / name).symlink_to(target)
    over, here = (os.fsencode(tmp_path / name) for name in ("over", "here"))
    mounts.put((os.fsencode(elsewhere), "nfs"))
    it.guard_way(here)
    assert it.none and made == []
    with monkeypatch.context() as patient:
        patient.setattr(slow_module, "ANSWER_S", 60.0)
        it.guard_way(over)
    stop(made[0])
    monkeypatch.setattr(slow_module, "_FRESH_S", 0.0)
    it._fresh.clear()
    with pytest.raises(Unanswered) as told:
        it.guard_way(over)
    assert told.value.point == os.fsencode(elsewhere)
    it.guard_way(here)
    go_on(made[0])


def refused(it: SlowMounts, path: bytes) -> bool:
    try:
        os.close(it.open(path))
    except Unanswered:
        return True
    return False


# -- what commands ask


def hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scout's filesystem hangs."""

    def silent(self: Scout, op: str, path: bytes, timeout_s: float) -> dict[str, Any] | None:
        return None

    monkeypatch.setattr(Scout, "ask", silent)


def test_links_are_resolved_as_ever(tmp_path: Path, no_leaks: None) -> None:
    """The same as `real_name`, whether or not something slow is on the way; also for what does not exist."""
    base = os.path.realpath(tmp_path)
    (tmp_path / "net" / "d").mkdir(parents=True)
    (tmp_path / "net" / "l").symlink_to("d")
    (tmp_path / "in").symlink_to("net/l")
    (tmp_path / "up").symlink_to("../" + tmp_path.name + "/net/./l/..")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "net" / "file").touch()
    (tmp_path / "to-file").symlink_to("net/file")
    (tmp_path / "net" / "to-file").symlink_to("file")
    (tmp_path / "dangling").symlink_to("net/none")
    names = ("in", "up/d", "net/l/x/../y", "none/x", "in/../d", "net", "to-file", "net/to-file", "dangling", "up/to-file", "net/")
    paths = [os.fsencode(os.path.join(base, name)) for name in names]
    for mounts in ([], [(b"/somewhere/else", "nfs")], [(os.fsencode(base + "/net"), "nfs")], [(b"/", "nfs")]):
        with Scouts(mounts) as scouts:
            assert [scouts.real(path) for path in paths] == [real_name(path) for path in paths], mounts
            assert scouts.real(b"//" + paths[0]) == real_name(paths[0])
    with Scouts([(b"/somewhere/else", "nfs")]) as scouts:
        assert scouts.real(os.fsencode(base + "/loop")) == os.fsencode(base + "/loop")


def test_roots_are_judged_alike(tmp_path: Path, no_leaks: None) -> None:
    """By the child as by ourselves."""
    (tmp_path / "f").touch()
    for mounts in ([], [(os.fsencode(tmp_path), "nfs")]):
        with Scouts(mounts) as scouts:
            assert scouts.trouble_with(os.fsencode(tmp_path)) == ""
            assert scouts.trouble_with(os.fsencode(tmp_path / "f")) == ""
            assert [scouts.is_file(os.fsencode(tmp_path / name)) for name in ("f", ".", "none")] == [True, False, None]
            assert scouts.trouble_with(os.fsencode(tmp_path / "none")) == "does not exist"


def test_a_filesystem_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its type and where it is mounted. A path on it stays as it is."""
    hanging(monkeypatch)
    net = os.fsencode(tmp_path / "net")
    with Scouts([(net, "fuse.sshfs")]) as scouts:
        assert scouts.real(net + b"/a/../b") == net + b"/b"
        assert scouts.trouble_with(net) == f"does not answer (fuse.sshfs on {tmp_path}/net)"
        assert scouts.is_silent(net + b"/x")
        assert not scouts.is_silent(os.fsencode(tmp_path))


def test_a_watch_path_is_a_directory_or_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Python API asks. It never raises, whatever the name."""
    (tmp_path / "f").touch()
    (tmp_path / "l").symlink_to(".")
    base = os.fsencode(os.path.realpath(tmp_path))

    def answers() -> list[bool]:
        return [is_directory(base + name) for name in (b"", b"/f", b"/none", b"/l", b"/\0")]

    assert answers() == [True, False, False, True, False]
    monkeypatch.setattr(scouting, "read_mounts", lambda: [(base, "nfs")])
    assert answers() == [True, False, False, True, False]
    hanging(monkeypatch)
    assert answers() == [True, True, True, True, False]


def test_a_state_directory_that_does_not_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mount's name, by whoever asks for it."""
    check_state_dir(tmp_path)
    hanging(monkeypatch)
    monkeypatch.setattr(scouting, "read_mounts", lambda: [(os.fsencode(os.path.realpath(tmp_path)), "nfs4")])
    with pytest.raises(UsageError, match=r"nfs4.*does not answer"):
        check_state_dir(tmp_path / "state")
