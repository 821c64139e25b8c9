"""A running service whose events a test reads as a story: what happened to which path since it last looked."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import session
from running import Consumer, Running, settings_for
from waiting import eventually

from shardwatch.shard.contract.state.planfile import Owners, read_plan

#: (existed before, exists after) -> the one word for all that was said of a path.
_WORDS = {(False, True): "created", (True, True): "modified", (True, False): "deleted"}

#: The lease is shorter than the waits of a test: a batch whose answer is lost with a killed program comes again within them.
_SETTINGS = {"settle_ms": 20, "lease_ms": 10_000}


class Follower(Consumer):
    """A consumer that tells a `moved` as the deletion and the creation it stands for."""

    def _apply(self, event: Any) -> None:
        if getattr(event, "event_type", "") == "moved":
            self.events.append(("deleted", os.fsencode(event.moved_from)))
        super()._apply(event)


def told(events: list[tuple[str, bytes]], below: Path) -> dict[str, str]:
    """What events say in sum of each path below a directory, by relative path; what came and went is not named.

    A file may be looked at between its creation and its last write, or twice: that is not a story of its own.
    """
    first: dict[bytes, bool] = {}
    last: dict[bytes, bool] = {}
    for kind, path in events:
        first.setdefault(path, kind not in ("created", "moved"))
        last[path] = kind != "deleted"
    base = os.fsencode(below) + b"/"
    return {
        os.fsdecode(path[len(base) :]): _WORDS[first[path], last[path]]
        for path in first
        if path.startswith(base) and (first[path] or last[path])
    }


class Scene:
    """A service over `root`, a consumer that applies everything, and a place outside the root."""

    def __init__(self, base: Path, root: Path | None = None, **settings: Any) -> None:
        self.root = root or base / "root"
        self.outside = base / "outside"
        for directory in (self.root, self.outside):
            directory.mkdir(parents=True, exist_ok=True)
        self.state_dir = session.place()
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.state_dir)
        try:
            self.service = Running(self.state_dir, settings_for(self.root, **{**_SETTINGS, **settings}))
            self._stack.callback(self.service.stop)
            self.consumer = Follower(self.state_dir, "mirror")
            self._stack.callback(self.consumer.close)
            self._seen = 0
            self.settled()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def settled(self) -> None:
        """The mirror equals the tree, and nothing is pending for the consumer; what was said before is forgotten."""
        try:
            self.service.assert_mirrored(self.consumer, self.root)
            self.drained()
        except AssertionError as error:
            client = self.service.client
            for what in (self.service.programs(), client.groups(), client.status()["shards"]):
                error.add_note(repr(what))
            raise
        self._seen = len(self.consumer.events)

    def drained(self) -> None:
        """Waits until the consumer has applied and acked everything that the index holds."""
        self.service.assert_drained(self.consumer)

    def story(self, below: Path | None = None) -> dict[str, str]:
        """Syncs, demands that the mirror equals the tree, and tells what happened since it was last told."""
        begin = self._seen
        self.settled()
        return told(self.consumer.events[begin : self._seen], below or self.root)

    def holds(self, *names: str) -> None:
        """Syncs, and demands that the mirror holds these files of the root and no others."""
        self.service.client.sync(60, patience_s=20)
        self.drained()
        assert set(self.consumer.mirror) == {os.fsencode(self.root / name) for name in names}

    def owner(self, directory: Path) -> str:
        """The shard that owns a directory."""
        plan = read_plan(self.service.layout.plan)
        assert plan is not None
        anchor = Owners(plan.anchors).of(os.fsencode(directory))
        assert anchor is not None
        return anchor.shard

    def pid(self, program: str) -> int:
        return int(self.service.programs()[program]["pid"])

    def shard(self, name: str) -> dict[str, Any]:
        """What `status` says of a shard."""
        return next(s for s in self.service.client.status()["shards"] if s["id"] == name)

    def hints(self, at: Path, shard: str = "s0") -> int:
        """Raw events that a shard has had until now, give or take the few of a file that is made for it in `at`."""
        self.settled()
        before = self.shard(shard)["hints"]
        write(at / "counting.json", str(before))
        self.settled()
        more: int = eventually(lambda: max(0, self.shard(shard)["hints"] - before))
        return more + int(before)

    def state_of(self, path: Path) -> str:
        """What `status` says of a path that is missing, unreadable, unmounted or polled; "" of one that is well."""
        found = [d["state"] for d in self.service.client.status()["degraded"] if d["path"] == str(path)]
        return found[0] if found else ""

    def watches(self, program: str = "s0") -> int:
        """Watches that a shard's process holds, as the kernel counts them."""
        count = 0
        process = Path("/proc", str(self.pid(program)), "fdinfo")
        for item in process.iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += sum(line.startswith("inotify ") for line in item.read_text().splitlines())
        return count


@contextlib.contextmanager
def playing(base: Path, root: Path | None = None, **settings: Any) -> Iterator[Scene]:
    """A scene that is taken down at the end, whatever happened."""
    scene = Scene(base, root, **settings)
    try:
        yield scene
    finally:
        scene.close()


def write(path: Path, content: str = "{}") -> Path:
    """A file with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


class Mount:
    """One mount of a test's own, gone at the end of the block, whatever happened."""

    def __init__(self, *arguments: str | Path) -> None:
        self._arguments = arguments
        self._there = False

    def __enter__(self) -> Mount:
        self.make()
        return self

    def __exit__(self, *_: object) -> None:
        if self._there:
            subprocess.run(["umount", "--lazy", self._arguments[-1]], check=True, capture_output=True)

    def make(self) -> None:
        subprocess.run(["mount", *self._arguments], check=True, capture_output=True)
        self._there = True

    def remove(self) -> None:
        """Not lazily, so that the filesystem itself is gone; a shard that scans it at this moment delays that."""

        def removed() -> bool:
            return subprocess.run(["umount", self._arguments[-1]], check=False, capture_output=True).returncode == 0

        eventually(removed)
        self._there = False
