"""Which roots fanotify can't watch, and which of the reasons keep a service from starting."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import command_of, environment

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.kernel import fanotify
from shardwatch.supervisor.host.scouting import Scouts
from shardwatch.supervisor.planning import whole
from shardwatch.supervisor.planning.whole import check_fanotify, obstacles


def refusing(monkeypatch: pytest.MonkeyPatch, code: int) -> list[bytes]:
    """Every directory is refused with this errno; returns those that were asked about."""
    asked: list[bytes] = []

    def refuse(path: bytes) -> OSError:
        asked.append(path)
        return OSError(code, os.strerror(code))

    monkeypatch.setattr(whole, "obstacle", refuse)
    return asked


@pytest.mark.parametrize(
    ("code", "word", "remedy"),
    [
        (errno.EPERM, "CAP_SYS_ADMIN", "AmbientCapabilities"), (errno.EINVAL, "can't name", "Linux 5.9"),
        (errno.ENOSYS, "can't name", "Linux 5.9"), (errno.EMFILE, "no fanotify group", "max_user_groups"),
    ],
)  # fmt: skip
def test_what_is_the_same_everywhere_keeps_a_service_from_starting(
    code: int, word: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with the remedy."""
    refusing(monkeypatch, code)
    with Scouts([]) as scouts, pytest.raises(UsageError) as raised:
        check_fanotify([os.fsencode(tmp_path)], scouts)
    assert word in raised.value.message
    assert remedy in raised.value.hint


def test_a_filesystem_that_can_not_be_marked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """inotify watches it. A file is asked about by its directory; what may hang is not asked; what can't be read is told
    elsewhere."""
    file = tmp_path / "f"
    file.write_text("x")
    asked = refusing(monkeypatch, errno.EOPNOTSUPP)
    with Scouts([(b"/", "ext4"), (b"/net", "nfs")]) as scouts:
        notes = check_fanotify([os.fsencode(file), b"/net/a"], scouts)
        assert len(notes) == 1
        assert "no handles" in notes[0] and "inotify watches it instead" in notes[0]
        assert asked == [os.fsencode(tmp_path)]
        refusing(monkeypatch, errno.EACCES)
        assert obstacles([os.fsencode(tmp_path)], scouts) == {}


@pytest.mark.root
def test_nothing_is_in_the_way(tmp_path: Path, no_leaks: None) -> None:
    """As root, where a filesystem has handles; and what was tried leaves nothing behind. A directory that is not there is an
    error of its own."""
    memory = os.fsencode(os.path.realpath("/dev/shm"))
    assert fanotify.obstacle(memory) is None
    missing = fanotify.obstacle(memory + b"/missing")
    assert missing is not None and missing.errno == errno.ENOENT
    assert missing.__traceback__ is None, "it would keep what its callers have"
    with Scouts() as scouts:
        assert check_fanotify([memory], scouts) == []


def test_without_the_functions_there_is_no_fanotify(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without them."""
    monkeypatch.setattr(fanotify, "_init", None)
    error = fanotify.obstacle(b"/")
    assert error is not None and error.errno == errno.ENOSYS and error.__traceback__ is None


@pytest.mark.root
@pytest.mark.parametrize("lost", [False, True])
def test_without_the_capability_there_is_no_group(lost: bool, tmp_path: Path) -> None:
    """root, too, may have lost it: then `watch` ends at once and says what is missing, and leaves nothing on disk. No other
    capability is needed."""
    kept = "-sys_admin" if lost else "-all,+sys_admin"
    names = [f"--bounding-set={kept}", f"--inh-caps={kept}"]
    code = "from shardwatch.shard.contract.kernel.fanotify import obstacle; print(obstacle(b'/dev/shm'))"
    done = subprocess.run(["setpriv", *names, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("[Errno 1] Operation not permitted" if lost else "None")
    if lost:
        watch = command_of("watch", "--backend", "fanotify", tmp_path, "--state-dir", tmp_path / "state")
        done = subprocess.run(["setpriv", *names, *watch], capture_output=True, text=True, check=False, env=environment())
        assert done.returncode == 2
        assert "CAP_SYS_ADMIN" in done.stderr and "AmbientCapabilities" in done.stderr
        assert list(tmp_path.iterdir()) == []
