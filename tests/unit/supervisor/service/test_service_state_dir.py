"""What `prepare` makes, refuses and says, without anything running."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from disks import read_only

from shardwatch.shard.contract.errors import InUseError, UsageError
from shardwatch.shard.contract.limits import IPC_PATH_BYTES_MAX
from shardwatch.shard.contract.process.life import Lock
from shardwatch.shard.contract.process.log_entry import JSON, TEXT, entry
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, write_plan
from shardwatch.shard.contract.state.settings import Settings, read_settings, write_settings
from shardwatch.shard.contract.state.sources import Sources, read_sources
from shardwatch.supervisor.planning.key import plan_key
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.state_dir import TEMPORARY_SUFFIX_BYTES, prepare
from shardwatch.supervisor.service.temporary import remove_temporary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def settings(root: Path) -> Settings:
    return Settings(roots=(os.fsencode(root),), include=("*.json",), exclude=("build/",))


@pytest.fixture
def place(state_dir: Path) -> Path:
    return state_dir / "s"


def test_makes_a_private_directory(place: Path, settings: Settings) -> None:
    """Directories have mode 0700, files 0600; the settings are there, the configuration is the static one."""
    prepared = prepare(place, settings)
    layout = prepared.layout
    assert prepared.notes == ()
    assert not prepared.resumed
    for directory in (layout.state_dir, layout.run, layout.locks, layout.logs):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in (layout.settings, layout.supervisord_conf):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_settings(layout.settings) == settings
    assert str(place) not in layout.supervisord_conf.read_text()


def test_a_start_does_not_wait_for_the_disk_with_what_the_next_one_writes_again(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss of power such a file may be empty, which is then found."""
    waited: list[str] = []
    sync = os.fsync

    def noting(fd: int) -> None:
        waited.append(os.readlink(f"/proc/self/fd/{fd}"))  # a temporary name, which contains the file's
        sync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    layout = prepare(place, settings).layout
    name = settings.roots[0]
    write_plan(layout.plan, Plan(1, (Anchor(name, "s0", name),), plan_key(settings)))
    prepare(place, settings)
    for file in (layout.settings, layout.plan):
        assert any(file.name in path for path in waited), file
    written = {file: file.read_bytes() for file in (layout.supervisord_conf, layout.plan_key)}
    for file in written:
        assert not any(file.name in path for path in waited), file
        file.write_bytes(b"")
    prepare(place, settings)
    assert {file: file.read_bytes() for file in written} == written


def test_a_temporary_directory_does_not_wait_for_the_disk(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads it after a loss of power."""
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    layout = prepare(place, settings, sources=Sources(), temporary=True).layout
    assert waited == []
    assert read_settings(layout.settings) == settings


def test_a_start_with_the_same_configuration_does_not_wait_for_the_disk(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written again that is there; what differs is, and what others could have written."""
    waited: list[int] = []
    prepare(place, settings, sources=Sources())
    monkeypatch.setattr(os, "fsync", waited.append)
    layout = prepare(place, settings, sources=Sources()).layout
    assert waited == []
    layout.sources.chmod(0o666)
    prepare(place, settings, sources=Sources())
    assert len(waited) == 1
    assert stat.S_IMODE(layout.sources.stat().st_mode) == 0o600
    prepare(place, settings, sources=Sources(ordinary=True))
    assert len(waited) == 2
    assert read_sources(layout.sources) == Sources(ordinary=True)


def test_is_idempotent_and_closes_an_open_directory(place: Path, settings: Settings) -> None:
    """An empty directory of the user's is taken and made private; a second call changes nothing."""
    place.mkdir(mode=0o755)
    prepare(place, settings)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert prepare(place, settings).notes == ()
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_file_as_state_directory(place: Path, settings: Settings) -> None:
    """Refused, and left as it is."""
    place.write_text("mine")
    with pytest.raises(UsageError, match="is not a directory"):
        prepare(place, settings)
    assert place.read_text() == "mine"


def test_a_file_on_the_way(place: Path, settings: Settings) -> None:
    """A file where a parent directory should be is one clear error too."""
    place.write_text("mine")
    with pytest.raises(UsageError, match="not a directory"):
        prepare(place / "below", settings)


def test_a_directory_with_other_things(place: Path, settings: Settings) -> None:
    """A directory that is full of something else is never taken for a state directory."""
    place.mkdir()
    (place / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        prepare(place, settings)
    assert [path.name for path in place.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["settings", "plan", "supervisord_conf"])
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_files_that_others_can_write(place: Path, settings: Settings, name: str, mode: int) -> None:
    """What others may have changed is not believed."""
    layout = prepare(place, settings).layout
    write_plan(layout.plan, Plan(1, ()))
    getattr(layout, name).chmod(mode)
    with pytest.raises(UsageError, match="can be written by others"):
        prepare(place, settings)


def test_a_link_instead_of_settings(place: Path, settings: Settings, tmp_path: Path) -> None:
    """A link in the place of a file of ours is refused."""
    layout = prepare(place, settings).layout
    layout.settings.rename(tmp_path / "elsewhere")
    layout.settings.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link, not a file"):
        prepare(place, settings)


def test_damaged_settings(place: Path, settings: Settings) -> None:
    """A settings file that can't be read is named with the remedy; a damaged plan is just made anew."""
    layout = prepare(place, settings).layout
    layout.plan.write_text("{")
    layout.plan.chmod(0o600)
    assert not prepare(place, settings).resumed
    layout.settings.write_text("{")
    with pytest.raises(UsageError, match="can't be read"):
        prepare(place, settings)


@pytest.mark.parametrize("excess", [0, 1])
def test_length_for_sockets(state_dir: Path, settings: Settings, excess: int) -> None:
    """The longest directory whose sockets fit is taken, one byte more is refused with the figures."""
    longest = IPC_PATH_BYTES_MAX - len("/run/supervisor.sock") - TEMPORARY_SUFFIX_BYTES
    room = longest - len(os.fsencode(state_dir)) - 1
    place = state_dir / ("x" * (room + excess))
    if excess:
        with pytest.raises(UsageError, match=rf"{longest + 1} bytes, {longest} are possible"):
            prepare(place, settings)
        assert not place.exists()
    else:
        prepare(place, settings)


@pytest.mark.parametrize("name", [b"new\nline", b"bell\x07", b"\xff\xfe"])
def test_names_that_supervisord_can_not_carry(state_dir: Path, settings: Settings, name: bytes) -> None:
    """Control characters and invalid UTF-8 are refused in one line."""
    with pytest.raises(UsageError) as caught:
        prepare(Path(os.fsdecode(os.fsencode(state_dir) + b"/" + name)), settings)
    assert "\n" not in str(caught.value)


def test_in_use(place: Path, settings: Settings) -> None:
    """While a service holds its lock, the directory is in use; afterwards it is free."""
    layout = prepare(place, settings).layout
    lock = Lock(layout.service_lock)
    try:
        assert service.running(layout)
        with pytest.raises(InUseError):
            prepare(place, settings)
    finally:
        lock.close()
    assert not service.running(layout)
    prepare(place, settings)


def _remove(root: Path) -> None:
    root.rmdir()


def _make_pipe(root: Path) -> None:
    root.rmdir()
    os.mkfifo(root)


@pytest.mark.parametrize(("spoil", "word"), [(_remove, "does not exist"), (_make_pipe, "is neither a directory nor a file")])
def test_a_bad_root(place: Path, settings: Settings, root: Path, spoil: Callable[[Path], None], word: str) -> None:
    """At the first start it is an error that leaves nothing behind; a root of the kept plan is only a note."""
    spoil(root)
    with pytest.raises(UsageError, match=word):
        prepare(place, settings)
    assert not place.exists()
    if root.exists():
        root.unlink()
    root.mkdir()
    layout = prepare(place, settings).layout
    name = settings.roots[0]
    write_plan(layout.plan, Plan(1, (Anchor(name, "s0", name),), plan_key(settings)))
    spoil(root)
    prepared = prepare(place, settings)
    assert prepared.resumed
    assert len(prepared.notes) == 1
    assert word in prepared.notes[0]


@pytest.mark.parametrize("where", ["", "logs", "logs/a.json"])
@pytest.mark.parametrize("whose", ["own", "another's"])
def test_a_root_in_a_state_directory(place: Path, settings: Settings, tmp_path: Path, whose: str, where: str) -> None:
    """Refused, also where it was watched before: the service would hear itself, or another one."""
    other = prepare(tmp_path / "other", settings).layout.state_dir if whose == "another's" else None
    bad = os.fsencode((other or place) / where)
    for before in (settings, msgspec.structs.replace(settings, roots=(bad,))):
        prepare(place, before) if before is settings else write_settings(Layout(place).settings, before)
        (place / "logs/a.json").write_text("")
        ((other or place) / "logs/a.json").write_text("")
        with pytest.raises(UsageError, match="is a state directory of shardwatch, or lies in one") as refused:
            prepare(place, msgspec.structs.replace(settings, roots=(*settings.roots, bad)))
        assert "outside of it" in refused.value.hint


def test_an_empty_directory_is_no_root_and_state_directory(place: Path, settings: Settings) -> None:
    """At the first start nothing in it says yet what it is. It stays empty."""
    place.mkdir()
    with pytest.raises(UsageError, match="is a state directory"):
        prepare(place, msgspec.structs.replace(settings, roots=(os.fsencode(place),)))
    assert os.listdir(place) == []


def test_leaves_nothing_when_the_disk_fails(place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error half-way (no space left) removes what was made, parents included, and is one clear line."""

    def full(path: Path, content: Settings, *, durable: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shardwatch.supervisor.service.state_dir.write_settings", full)
    with pytest.raises(UsageError, match="can't be prepared: its disk is full") as refused:
        prepare(place / "deep" / "er", settings)
    assert refused.value.hint == "free some space there, or give another --state-dir"
    assert not place.exists()


@pytest.mark.root
def test_a_directory_on_a_filesystem_that_is_read_only(place: Path, settings: Settings) -> None:
    """One that exists and one that does not: the filesystem is named, and not its mode."""
    prepare(place, settings)
    with read_only(place):
        for directory in (place, place / "new"):
            with pytest.raises(UsageError, match=": its filesystem is read-only") as refused:
                prepare(directory, settings)
            assert "mount it writable" in refused.value.hint


def test_says_what_changed(place: Path, settings: Settings, root: Path, tmp_path: Path) -> None:
    """New and dropped roots, patterns and switches are said once, at the start that changes them."""
    other = tmp_path / "other"
    other.mkdir()
    prepare(place, settings)
    changed = msgspec.structs.replace(
        settings, roots=(os.fsencode(other),), include=("*.json", "*.ast"), exclude=(), directories=True
    )
    notes = prepare(place, changed).notes
    assert notes[0] == f"root {other} is new: it will be scanned"
    assert notes[1].startswith(f"root {root} is no longer configured")
    assert 'included too: "*.ast"' in notes[2]
    assert 'no longer excluded: "build/"' in notes[2]
    assert "directories on" in notes[2]
    assert prepare(place, changed).notes == ()
    turned = msgspec.structs.replace(changed, include=("*.ast", "*.json"))
    assert "in another order" in prepare(place, turned).notes[0]


def test_many_patterns_are_cut_short(place: Path, settings: Settings) -> None:
    """A note stays readable, and a pattern with a newline stays on its line."""
    prepare(place, settings)
    many = tuple(f"*.x{n}\n" for n in range(20))
    (note,) = prepare(place, msgspec.structs.replace(settings, include=many)).notes
    assert "and 15 more" in note
    assert "\n" not in note


def test_stamps_a_plan_that_fits(place: Path, settings: Settings) -> None:
    """run/plan.key is there exactly while the plan on disk serves the settings."""
    layout = prepare(place, settings).layout
    stamp = layout.run / "plan.key"
    assert not stamp.exists()
    name = settings.roots[0]
    write_plan(layout.plan, Plan(3, (Anchor(name, "s0", name),), plan_key(settings)))
    prepare(place, settings)
    assert stamp.read_text() == plan_key(settings)
    prepare(place, msgspec.structs.replace(settings, shards=2))
    assert not stamp.exists()


def test_nothing_runs(place: Path, settings: Settings) -> None:
    """Asked about a directory without a service, every function says so and raises nothing."""
    assert not service.running(Layout(place))
    layout = prepare(place, settings).layout
    assert not service.running(layout)
    assert not service.stop(layout)
    assert service.programs(layout) == []
    assert "left no message" in service.last_words(layout, "aggregator")
    remove_temporary(place)
    assert not place.exists()
    assert not service.stop(layout)


def test_the_last_words_of_a_log_of_json_are_text(place: Path, settings: Settings) -> None:
    """An error message quotes them, as those of any other log."""
    layout = prepare(place, settings).layout
    said = [entry(form, 1e9, "ERROR", "shardwatch.aggregator", 7, "the disk fails") for form in (TEXT, JSON)]
    layout.log("aggregator").write_text(f"{said[1]}\n")
    assert service.last_words(layout, "aggregator") == said[0]


def test_a_fifo_in_the_place_of_a_log_is_not_waited_for(place: Path, settings: Settings) -> None:
    """An error message quotes logs."""
    layout = prepare(place, settings).layout
    os.mkfifo(layout.log("aggregator"))
    assert "aggregator.log is a FIFO, not a file" in service.last_words(layout, "aggregator")
    with pytest.raises(UsageError, match="is a FIFO"):
        prepare(place, settings)
