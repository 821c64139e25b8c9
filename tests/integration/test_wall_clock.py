"""The wall clock of a whole service jumps: libfaketime sets it for its processes alone, never the machine's.

Only the wall clock is faked: the monotonic clock goes on, as it does where a real clock is set. What lstat tells is the
kernel's and stays, as the times of files that are there do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_process import lines_of, run
from running import Consumer, Running, consuming, running, settings_for
from waiting import eventually

pytestmark = pytest.mark.needs("faketime")
HOUR_S = 3600
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def library() -> Path | None:
    """libfaketime for programs with threads, wherever a package put it."""
    for base in _LIBRARIES:
        for pattern in ("faketime/libfaketimeMT.so.1", "*/faketime/libfaketimeMT.so.1"):
            found = sorted(Path(base).glob(pattern))
            if found:
                return found[0]
    return None


class WallClock:
    """The offset that every process started from now on reads anew whenever it asks for the time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, offset_s: int) -> None:
        """In one step: no process may read half of it."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._path)


@pytest.fixture
def wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    found = library()
    if found is None:
        pytest.skip("libfaketime is missing (Debian: faketime)")
    path = tmp_path / "wall-clock"
    clock = WallClock(path)
    for name, value in {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
        "NO_FAKE_STAT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return clock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for d in range(8):
        (root / f"d{d}").mkdir(parents=True)
        for f in range(3):
            (root / f"d{d}" / f"f{f}.json").write_text(f"{d} {f}")
    return root


def test_the_clock_jumps_for_children_only(wall_clock: WallClock) -> None:
    """Forward and back under a running process; its monotonic clock, and ours, do not notice."""
    program = "import sys,time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for offset in (0, HOUR_S, 0, -HOUR_S):
            wall_clock.set(offset)
            before = (time.time() + offset, time.monotonic())
            child.stdin.write("\n")
            child.stdin.flush()
            wall, monotonic = map(float, child.stdout.readline().split())
            after = (time.time() + offset, time.monotonic())
            assert before[0] - 1 <= wall <= after[0] + 1
            assert before[1] <= monotonic <= after[1]
        child.stdin.close()


def change(root: Path, turn: int) -> None:
    """Files made, written, removed, renamed; directories too."""
    (root / f"d{turn}" / "f0.json").write_text("changed " * (turn + 2))
    (root / f"d{turn}" / "f1.json").unlink()
    (root / f"d{turn}" / "f2.json").rename(root / f"d{turn}" / "moved.json")
    (root / f"new{turn}" / "deep").mkdir(parents=True)
    (root / f"new{turn}" / "deep" / "n.json").write_text("new")
    if turn:
        (root / f"new{turn - 1}").rename(root / f"was-new{turn - 1}")


class Dated(Consumer):
    """Notes the time of each look that an event tells."""

    stamps: list[float]

    def _apply(self, event: object) -> None:
        self.__dict__.setdefault("stamps", []).append(getattr(event, "observed_at", 0.0))
        super()._apply(event)


def leased(service: Running, group: str) -> tuple[int, int]:
    """(paths on lease, paths that are to come again)."""
    row = next(g for g in service.client.groups() if g["name"] == group)
    return int(row["leased"]), int(row["retrying"])


def test_a_service_whose_clock_jumps(state_dir: Path, root: Path, wall_clock: WallClock, no_leaks: None) -> None:
    """An hour forward, back, back again and forward: changes flow, nobody is killed, leases last as long as they would."""
    settings = settings_for(root, include=("*.json",), shards=2, settle_ms=20)
    with running(state_dir, settings) as service:
        consumer = Dated(state_dir, "mirror")
        try:
            service.assert_mirrored(consumer, root)
            held = service.client.pull("held", from_="start", wait_s=20, lease_s=HOUR_S / 2)
            assert held is not None
            short_lease = service.client.pull("short", from_="start", wait_s=20, lease_s=2)
            assert short_lease is not None
            before = {name: row["pid"] for name, row in service.programs().items()}
            for turn, offset in enumerate((HOUR_S, 0, -HOUR_S, HOUR_S, 0)):
                service.assert_drained(consumer)  # what is told from now on was looked at from now on
                wall_clock.set(offset)
                seen = len(consumer.stamps)
                change(root, turn)
                service.assert_mirrored(consumer, root)
                told = consumer.stamps[seen:]
                assert told
                assert {round((stamp - time.time()) / HOUR_S) for stamp in told} == {offset // HOUR_S}
                assert leased(service, "held") == (len(held.events), 0)
                assert all(row["up_s"] >= 0 for row in service.programs().values())
            held.ack()
            eventually(lambda: leased(service, "short")[0] == 0, what="the end of a lease of 2 s")
            again = service.client.pull("short", wait_s=30)
            assert again is not None
            untouched = {str(root / f"d7/f{n}.json") for n in range(3)}
            assert untouched <= {e.path for e in short_lease.events} & {e.path for e in again.events}
            again.ack()
            assert {name: row["pid"] for name, row in service.programs().items()} == before
            assert all(row["hung"] == 0 for row in service.programs().values())
            assert service.client.seek("held", "start")  # no tombstone that it needs went early
            wall_clock.set(-HOUR_S)
            service.kill("s0")
            service.kill("aggregator")
            change(root, 5)
            service.assert_mirrored(consumer, root)
            wall_clock.set(HOUR_S)
            change(root, 6)
            service.assert_mirrored(consumer, root)
            assert consumer.fresh == 0
        finally:
            consumer.close()


#: mtimes of any age, ns since 1970: long before, just before, at the beginning, 2100, and the last that an index can hold (2262).
MTIMES = (-2_208_988_800_000_000_000, -1, 0, 1, 4_102_444_800_000_000_000, (1 << 63) - 1)


def test_mtimes_of_any_age_on_the_command_line(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """1900, 1969, 1970, 2100, 2262: JSON and Python hold the numbers that lstat tells, created and modified."""
    root = Path(tmp_path / "root")
    root.mkdir()
    names = [f"{n}.json" for n in range(len(MTIMES))]
    for name in names:
        (root / name).write_text("x")

    def told() -> dict[str, tuple[str, int]]:
        done = run("pull", "--group", "cli", "--from", "start", "--json", "--wait", "20", "--state-dir", state_dir)
        return {Path(e["path"]).name: (e["event_type"], e["mtime_ns"]) for e in lines_of(done) if e["type"] == "event"}

    def there() -> dict[str, int]:
        return {name: max(-(1 << 63), min((1 << 63) - 1, (root / name).stat().st_mtime_ns)) for name in names}

    with running(state_dir, settings_for(root, include=("*.json",), shards=1)) as service, consuming(state_dir) as consumer:
        for turn in range(2):
            for name, mtime_ns in zip(names, reversed(MTIMES) if turn else MTIMES, strict=True):
                os.utime(root / name, ns=(mtime_ns, mtime_ns))
            service.client.sync(60)
            kind = "modified" if turn else "created"
            assert told() == {name: (kind, mtime_ns) for name, mtime_ns in there().items()}
            service.assert_mirrored(consumer, root)
        assert len(set(there().values())) >= 4, "this filesystem knows no such times: the test has not tested anything"
