"""The state directory is opened once, and what is not ours in it is refused: never followed, waited for, written, chmodded."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.contents import examine
from shardwatch.shard.contract.state.directory import (
    TEMPORARY_VARIABLE,
    StateDirectory,
    read_private,
    temporary_value,
    user,
    write_private,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "state"
    home.mkdir(mode=0o700)
    (home / "locks").mkdir(mode=0o700)
    return home


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Something that no planted link may reach."""
    path = tmp_path / "elsewhere"
    path.write_text("precious")
    path.chmod(0o644)
    return path


def _link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def _dangling(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere.with_name("nowhere"))


def _hard_link(path: Path, elsewhere: Path) -> None:
    path.hardlink_to(elsewhere)


def _fifo(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path, elsewhere: Path) -> None:
    path.mkdir()


PLANTED = pytest.mark.parametrize(
    ("plant", "word"),
    [
        (_link, "is a link"),
        (_dangling, "is a link"),
        (_hard_link, "hard link"),
        (_fifo, "is a FIFO"),
        (_directory, "is a directory"),
    ],
)
Plant = Callable[[Path, Path], None]


@PLANTED
@pytest.mark.parametrize("name", ["settings.json", "locks/service.lock"])
def test_what_was_planted_is_refused_at_once(home: Path, elsewhere: Path, plant: Plant, word: str, name: str) -> None:
    """By every way of opening it; and what it leads to is as before."""
    plant(home / name, elsewhere)
    with StateDirectory(home) as state:
        for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            with pytest.raises(UsageError, match=word):
                state.open(name, flags)
        with pytest.raises(UsageError, match=word):
            state.read(name)
        with pytest.raises(UsageError, match=word):
            state.identity_of(name)
        with pytest.raises(UsageError, match=word):
            state.held(name)
        with pytest.raises(UsageError, match=word):
            examine(state)
    with pytest.raises(UsageError, match=word):
        read_private(home / name)
    assert elsewhere.read_text() == "precious"
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644
    assert not elsewhere.with_name("nowhere").exists()


@pytest.mark.parametrize("name", ["locks", "run", "logs"])
def test_a_planted_directory_is_not_entered(home: Path, tmp_path: Path, name: str) -> None:
    """A link in its place changes no mode elsewhere, and nothing is made behind it."""
    (home / "locks").rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)  # whatever the umask is
    (home / name).symlink_to(outside)
    with StateDirectory(home) as state:
        with pytest.raises(UsageError, match="is a link, not a directory"):
            state.make_directory(name)
        with pytest.raises(UsageError, match="is a link, not a directory"):
            state.open(f"{name}/x.lock", os.O_RDWR | os.O_CREAT)
        with pytest.raises(UsageError, match="is a link, not a directory"):
            examine(state)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert list(outside.iterdir()) == []


@PLANTED
def test_a_write_replaces_and_never_follows(home: Path, elsewhere: Path, plant: Plant, word: str) -> None:
    """The new file takes the place of whatever had the name (but no directory); temporary names can't be guessed."""
    plant(home / "settings.json", elsewhere)
    for guess in (f".settings.json.{os.getpid()}", ".settings.json.tmp"):
        (home / guess).symlink_to(elsewhere)
    with StateDirectory(home) as state:
        if plant is _directory:
            with pytest.raises(IsADirectoryError):
                state.write("settings.json", b"new")
            assert len(state.names()) == 4  # no temporary file stays
            return
        state.write("settings.json", b"new")
        assert state.read("settings.json") == b"new"
    assert elsewhere.read_text() == "precious"
    assert stat.S_IMODE((home / "settings.json").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no temporary file, by which a directory would not be empty any more."""
    write_private(home / "plan.json", b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(home / "plan.json", b"new")
    assert sorted(path.name for path in home.iterdir()) == ["locks", "plan.json"]
    assert (home / "plan.json").read_bytes() == b"old"


def test_only_the_service_whose_directory_is_temporary_does_not_wait_for_the_disk(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its programs write there need not survive a loss of power; what they write elsewhere must."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    with StateDirectory(home) as state, StateDirectory(other) as elsewhere:
        state.write("plan.json", b"1")
        assert (len(waited), state.is_temporary) == (1, False)
        monkeypatch.setenv(TEMPORARY_VARIABLE, temporary_value(state))
        state.write("plan.json", b"2")
        assert (len(waited), state.is_temporary) == (1, True)
        assert state.read("plan.json") == b"2"
        elsewhere.write("plan.json", b"3")
        assert (len(waited), elsewhere.is_temporary) == (2, False)


@pytest.mark.root
@pytest.mark.parametrize("name", ["settings.json", "index.db", "groups.db-wal", "locks/service.lock", "locks"])
def test_what_another_user_owns_is_refused(home: Path, name: str) -> None:
    """A directory that was once open to all may hold whatever others left there."""
    path = home / name
    if not path.exists():
        path.write_text("{}")
    os.chown(path, 4321, 4321)
    with StateDirectory(home) as state, pytest.raises(UsageError, match="belongs to user 4321, not to user root"):
        examine(state)


@pytest.mark.root
def test_another_users_directory(home: Path) -> None:
    """Root may look into it, and nothing more; in it everything must be that user's."""
    (home / "settings.json").write_text("theirs")
    for path in (home, home / "locks", home / "settings.json"):
        os.chown(path, 4321, 4321)
    with pytest.raises(UsageError, match="belongs to user 4321, not to user root"):
        StateDirectory(home)
    with pytest.raises(UsageError, match="belongs to user 4321"):
        write_private(home / "settings.json", b"root's")
    assert read_private(home / "settings.json") == b"theirs"
    os.chown(home / "settings.json", 0, 0)
    with pytest.raises(UsageError, match="belongs to user root, not to user 4321"):
        read_private(home / "settings.json")


@pytest.mark.root
def test_a_link_on_the_way_counts_if_it_is_ours(home: Path, tmp_path: Path) -> None:
    """Who owns a link decides where it leads: another user's is not followed, not even to what is ours."""
    link = tmp_path / "link"
    link.symlink_to(home)
    with StateDirectory(link) as state:
        assert state.identity == (home.stat().st_dev, home.stat().st_ino)
    (tmp_path / "up").symlink_to("../" + tmp_path.name)
    with StateDirectory(tmp_path / "up" / "link") as state:
        assert state.in_place()
    os.lchown(link, 4321, 4321)
    with pytest.raises(UsageError, match="is a link that user 4321 made"):
        StateDirectory(link)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        StateDirectory(tmp_path / "loop")


def test_a_directory_that_others_can_write_is_not_believed(home: Path) -> None:
    """Until it is closed to them; what they left in it is then looked at, file by file."""
    write_private(home / "settings.json", b"{}")
    home.chmod(0o777)
    with StateDirectory(home) as state:
        with pytest.raises(UsageError, match="can be written by others") as refused:
            state.read("settings.json")
        assert refused.value.hint.endswith(f"chmod 700 {home}")
        state.close_to_others()
        assert state.read("settings.json") == b"{}"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_what_was_opened_stays_what_it_is(home: Path, tmp_path: Path) -> None:
    """A directory that is renamed, with another put in its place, is still the one that was opened."""
    with StateDirectory(home) as state:
        home.rename(tmp_path / "away")
        home.mkdir(mode=0o700)
        assert not state.in_place()
        state.write("settings.json", b"{}")
    assert (tmp_path / "away" / "settings.json").exists()
    assert list(home.iterdir()) == []


def test_files_are_made_private(home: Path) -> None:
    """Mode 0600 and 0700 whatever the umask; what was there is kept, and emptied only where that is asked for."""
    before = os.umask(0)
    try:
        with StateDirectory(home) as state:
            os.close(state.open("logs.txt", os.O_WRONLY | os.O_CREAT))
            assert state.make_directory("run")
            assert not state.make_directory("run")
            assert stat.S_IMODE((home / "run").stat().st_mode) == 0o700
            assert stat.S_IMODE((home / "logs.txt").stat().st_mode) == 0o600
            (home / "logs.txt").write_text("words")
            os.close(state.open("logs.txt", os.O_WRONLY | os.O_CREAT))
            assert (home / "logs.txt").read_text() == "words"
            os.close(state.open("logs.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            assert (home / "logs.txt").read_text() == ""
            os.utime(home / "logs.txt", (1, 1))
            assert state.touch("logs.txt")
            assert (home / "logs.txt").stat().st_mtime > 1
            state.remove("logs.txt")
            state.remove("logs.txt")
            assert not state.touch("logs.txt")
            assert state.identity_of("logs.txt") is None
    finally:
        os.umask(before)


def test_nothing_there_is_no_refusal(home: Path) -> None:
    """Of a file or a directory that is not there nobody holds a lock; what is no directory is said as such."""
    with StateDirectory(home) as state:
        assert not state.held("locks/service.lock")
    with pytest.raises(FileNotFoundError):
        read_private(home / "plan.json")
    (home / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        StateDirectory(home / "file")
    assert user(987654) == "user 987654"
