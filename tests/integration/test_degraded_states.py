"""Every state of a service that needs attention, and that a test can bring about, is shown in all places, with its remedy.

`tests/unit/supervisor/service/test_degradations.py` shows the others: those that take a kernel that does not let go, a day, or
another version. Watches that run out are in test_few_watches.py.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import environment, run
from crashing import crashing
from disks import Image, flip
from four_places import FourPlaces, four_places
from fuse import Fuse, fuse
from rights import unprivileged
from running import GUARD_S, Running, settings_for

pytestmark = [pytest.mark.usefixtures("no_leaks"), pytest.mark.root]


def supervisorctl(service: Running, *words: str) -> None:
    conf = service.layout.supervisord_conf
    command: list[str | Path] = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", conf, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD_S, env=environment(), check=False)
    assert "no such" not in done.stdout + done.stderr  # what is started may end at once, which is an error


def exchange_schema(index: Path, then: int) -> int:
    """The version of the index's schema, which is another one afterwards."""
    with contextlib.closing(sqlite3.connect(index, isolation_level=None)) as db:
        (found,) = db.execute("SELECT schema FROM state").fetchone()
        db.execute("UPDATE state SET schema = ?", (then,))
    return int(found)


def make_roots(at: Path) -> dict[str, Path]:
    """One that has everything, one that will be gone, a disk and a slow server."""
    roots = {name: at / name for name in ("plain", "gone", "disk", "slow")}
    for name in ("plain/closed/f.json", "plain/deep/g.json", "gone/h.json", "disk/below"):
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text("{}")
    (roots["plain"] / ".git").mkdir()
    return roots


@pytest.mark.needs("bindfs", "chromium", "mkfs.ext4")
def test_what_can_be_wrong_with_a_service(tmp_path: Path, state_dir: Path) -> None:
    """One state after the other, each until it is over."""
    roots = make_roots(tmp_path / "roots")
    place = state_dir / "s"
    with (
        Image(roots["disk"], ["mkfs.ext4", "-q", "-F"], 8 << 20) as disk,
        fuse(tmp_path / "below", roots["slow"]) as slow,
    ):
        settings = settings_for(
            *roots.values(), shards=2, backend="inotify", hold_for_vcs=True, hold_ms_max=1_000,
            attempts_max=2, include=("*",),
        )  # fmt: skip
        service = unprivileged(lambda: Running(place, settings))
        try:
            with four_places(place) as places:
                what_is_watched(places, roots, disk, slow)
                what_is_handed_out(service, places, roots["plain"])
                programs(service, places)
                databases(service, places, roots["plain"])
                service.stop()
                places.gone()
        finally:
            service.stop()


def what_is_watched(places: FourPlaces, roots: dict[str, Path], disk: Image, slow: Fuse) -> None:
    """A directory that can't be read, a root that is gone, one that is not mounted, and one whose server does not answer."""
    closed = roots["plain"] / "closed"
    closed.chmod(0)
    shutil.rmtree(roots["gone"])
    disk.unmount()
    with slow.going_on():
        slow.hang()
        places.show(
            unreadable=("permission denied", "give the service's user read and execute permission on it"),
            missing=("the directory does not exist", "make it again"),
            unmounted=("is not mounted", "mount it again"),
            unanswered=("does not answer", "umount -l"),
        )
    closed.chmod(0o700)
    roots["gone"].mkdir()
    disk.mount()
    places.over("unreadable", "missing", "unmounted", "unanswered")


def what_is_handed_out(service: Running, places: FourPlaces, root: Path) -> None:
    """A path that fails, a batch that comes again, and a lock file that was left behind."""
    for group, retry_s in (("poisoned", 0.0), ("poisoned", 0.0), ("again", 3600.0)):
        batch = service.client.pull(group, max=1, from_="start", wait_s=GUARD_S)
        assert batch is not None
        batch.nack(retry_s=retry_s, reason="it is bad")
    (root / ".git/index.lock").touch()
    places.show(
        set_aside=("group poisoned has set 1 path aside", "correct the worker, then `shardwatch dead retry`"),
        tried_again=("of group again failed", "see the logs of its workers"),
        hold_spent=("index.lock has held for longer", "remove it, if no git or hg runs there"),
    )
    (root / ".git/index.lock").unlink()
    for group in ("poisoned", "again"):
        run("groups", "drop", group, "--state-dir", service.layout.state_dir)
    places.over("set_aside", "tried_again", "hold_spent")


def programs(service: Running, places: FourPlaces) -> None:
    """One that is stopped, and one that crashes, for as long as it is looked for: a breaker that opens for the first time is open
    for a second."""
    supervisorctl(service, "stop", "shards:s1")
    with crashing(service, "s0"):
        places.show(
            program_stopped=("shards:s1 is stopped", "start shards:s1"),
            stand_in=("times in a row", "restart shards:s0"),
        )
    supervisorctl(service, "start", "shards:s1")
    supervisorctl(service, "restart", "shards:s0")
    places.over("program_stopped", "stand_in")


def databases(service: Running, places: FourPlaces, root: Path) -> None:
    """Databases that something else has locked; an index of a later version; one that was damaged while nobody had it open."""
    with contextlib.closing(sqlite3.connect(service.layout.index_db, isolation_level=None, timeout=GUARD_S)) as db:
        db.execute("BEGIN EXCLUSIVE")
        (root / "deep/new.json").write_text("{}")
        places.show(storage=("another program has its databases locked", "end what has them open"))
    places.over("storage")
    supervisorctl(service, "stop", "aggregator")
    places.show(program_stopped=("aggregator is stopped: nothing is handed out", "start aggregator"))
    schema = exchange_schema(service.layout.index_db, 99)
    supervisorctl(service, "start", "aggregator")
    places.show(program_crashes=("has schema 99", "restart aggregator"))
    supervisorctl(service, "stop", "aggregator")
    exchange_schema(service.layout.index_db, schema)
    flip(service.layout.index_db, 1, 3)
    supervisorctl(service, "start", "aggregator")
    places.show(notice=("damaged", "nothing; a group that cannot go on from where it was is told `fresh`"))
