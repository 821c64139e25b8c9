"""A real service on a real tree, and a consumer whose mirror must end equal to the tree."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from session import deliver
from waiting import eventually

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.aggregator.protocol.messages import Fresh
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.config.profile import EXCLUDE, INCLUDE
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.child import ChildService
from shardwatch.supervisor.service.state_dir import prepare

Stat = tuple[int, int]
#: Seconds that a program of the service may take to answer: a machine on which other tests run may stall for many.
ANSWER_S = 30.0
#: Seconds until a mirror is equal: longer than a lease (60 s by default), at whose end a batch comes again whose answer was lost.
EQUAL_S = 90.0
#: Seconds for what includes that programs are started again.
GUARD_S = 60.0


def settings_for(*roots: Path, **changes: Any) -> Settings:
    """The default profile over some roots."""
    fields: dict[str, Any] = {"include": tuple(INCLUDE), "exclude": tuple(EXCLUDE), **changes}
    return Settings(roots=tuple(os.fsencode(os.path.realpath(r)) for r in roots), **fields)


def walk(root: Path, settings: Settings) -> dict[bytes, Stat]:
    """What a mirror of `root` must hold: exact path -> (size, mtime_ns)."""
    keep = Filter(settings.include, settings.exclude)
    top = os.fsencode(os.path.realpath(root))
    found: dict[bytes, Stat] = {}
    for above, directories, files in os.walk(top):
        relative = above[len(top) + 1 :]
        for name in [d for d in directories if os.path.islink(os.path.join(above, d))]:
            directories.remove(name)
            files.append(name)
        directories[:] = [d for d in directories if not keep.prunes(relative + b"/" + d if relative else d)]
        for name in keep.keeps_names(relative, files):
            with contextlib.suppress(FileNotFoundError):
                st = os.lstat(os.path.join(above, name))
                if stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode):
                    found[os.path.join(above, name)] = (st.st_size, st.st_mtime_ns)
    return found


def stats_below(place: Path) -> dict[Path, os.stat_result]:
    """lstat of a directory and of everything below it. What has just been written, and has its own name by now, is left out."""
    found = {}
    for path in [place, *place.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.lstat()
    return found


class Consumer:
    """Follows one group and applies every batch to a mirror, which may have been made before."""

    def __init__(self, state_dir: Path, group: str, mirror: Mapping[bytes, Stat] | None = None) -> None:
        self.mirror: dict[bytes, Stat] = dict(mirror or {})
        self.events: list[tuple[str, bytes]] = []
        self.batches = 0
        self.fresh = 0
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._client = ExtractClient(state_dir, timeout_s=ANSWER_S)
        self.group = group
        self._thread = threading.Thread(target=self._run, name=f"consumer-{group}")
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    batch = self._client.pull(self.group, from_="start", wait_s=0.2, patience_s=20)
                except ShardwatchError as error:
                    if not error.retryable:
                        raise
                    continue  # told to stop, for one: it is back soon
                if batch is None:
                    continue
                for event in [batch.fresh] if batch.fresh is not None else batch.events:
                    self._apply(event)
                with contextlib.suppress(ShardwatchError):  # a lease that ended, or nobody answered: the batch comes again
                    batch.ack()
                self.batches += 1
        except BaseException as error:
            self.error = error
            raise

    def _apply(self, event: Any) -> None:
        if isinstance(event, Fresh):
            self.mirror.clear()
            self.fresh += 1
            return
        path = os.fsencode(event.path)
        self.events.append((event.event_type, path))
        if event.event_type == "moved":
            self.mirror.pop(os.fsencode(event.moved_from), None)
        if event.event_type == "deleted":
            self.mirror.pop(path, None)
        elif not event.is_directory:
            self.mirror[path] = (event.size, event.mtime_ns)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self._client.close()


class Running:
    """One service in one state directory."""

    def __init__(self, state_dir: Path, settings: Settings) -> None:
        self.settings = settings
        self.layout = prepare(state_dir, settings).layout
        self._child = ChildService(self.layout, follow=True)
        self.process = self._child.process
        try:
            self.ready = self._child.wait_ready(GUARD_S)
        except BaseException:
            self.stop()
            raise
        self.client = ExtractClient(self.layout.state_dir, timeout_s=ANSWER_S)

    def stop(self) -> None:
        with contextlib.suppress(ShardwatchError):
            self._child.stop(20)
        if hasattr(self, "client"):
            self.client.close()

    def programs(self) -> dict[str, dict[str, Any]]:
        """supervisord's view, by name."""
        return {str(p["name"]): p for p in service.programs(self.layout, ANSWER_S)}

    def kill(self, name: str) -> int:
        """Kills a program with -9 and waits for its successor, whose pid is returned."""
        pid = self._another(name, 0)
        with contextlib.suppress(ProcessLookupError):  # it died by itself, and supervisord has not noticed
            deliver(pid, signal.SIGKILL)
        return self._another(name, pid)

    def kill_all(self) -> None:
        """Kills supervisord and every program with -9, so that none of them closes anything in order.

        All are stopped first, so that nobody replaces a program or leaves because of a death. supervisord is the last to
        die: a stopped program whose parent dies is continued by the kernel with SIGHUP (setpgid(2), orphaned process
        groups), and would end in order.
        """
        pids = [*(int(row["pid"]) for row in self.programs().values()), self.process.pid]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                deliver(pid, number)
        self.process.wait(GUARD_S)

    def _another(self, name: str, before: int) -> int:
        """The pid of a program that runs, once it is another one."""

        def pid() -> int:
            row = self.programs().get(name)
            new = int(row["pid"]) if row is not None and row["state"] in ("STARTING", "RUNNING") else 0
            return new if new != before else 0

        return eventually(pid, GUARD_S, what=f"a new {name}")

    def assert_mirrored(self, consumer: Consumer, root: Path) -> None:
        """Syncs, and waits until the consumer, which applies every batch, holds what the tree holds."""
        self.client.sync(GUARD_S, patience_s=GUARD_S)

        def equal() -> bool:
            if consumer.error is not None:
                raise RuntimeError("the consumer died") from consumer.error
            there, mirror = walk(root, self.settings), dict(consumer.mirror)
            missing = sorted(k for k in there if k not in mirror)
            extra = sorted(k for k in mirror if k not in there)
            other = sorted(k for k in there if k in mirror and mirror[k] != there[k])
            assert not (missing or extra or other), f"missing {missing[:5]}, extra {extra[:5]}, other {other[:5]}"
            return True

        eventually(equal, EQUAL_S, every_s=0.05)

    def assert_drained(self, consumer: Consumer) -> None:
        """Waits until the consumer has applied and acked everything that the index holds."""

        def nothing_pending() -> bool:
            assert consumer.error is None, consumer.error
            row = next((g for g in self.client.groups() if g["name"] == consumer.group), None)
            return row is not None and not (row["backlog"] or row["leased"] or row["retrying"])

        eventually(nothing_pending, EQUAL_S)


@contextlib.contextmanager
def running(state_dir: Path, settings: Settings) -> Iterator[Running]:
    """A ready service; stopped at the end, whatever happened."""
    it = Running(state_dir, settings)
    try:
        yield it
    finally:
        it.stop()


@contextlib.contextmanager
def consuming(state_dir: Path, group: str = "mirror", mirror: Mapping[bytes, Stat] | None = None) -> Iterator[Consumer]:
    it = Consumer(state_dir, group, mirror)
    try:
        yield it
    finally:
        it.close()
