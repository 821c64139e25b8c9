"""The demonstration of `make run`: watches a real tree with `shardwatch watch`, edits it, and checks that the changes
arrive.

`python -m shardwatch.supervisor.demo [DIR]`; DIR (`.demo`) keeps the tree for the next run. It ends by itself with exit
code 0, or with 1 if a change did not arrive. Nothing in the service imports this.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import tree as demo_tree

#: Guards against hangs, seconds: a machine that is busy with something else is no failure.
_READY_S_MAX = 60.0
_ARRIVAL_S_MAX = 60.0
_LEAVE_S_MAX = 30.0
_PAUSE_S = 1.2
_SHOWN_MAX = 4
_BURST_FILES = 10
_EDITED = ("json/decoder", "json/encoder", "json/tool")
_MOVED_FROM, _MOVED_TO = "email", "email_renamed"

_NEXT = """\
Try next:
  make run ROOT=path/to/a/tree        watch a tree of yours until Ctrl-C
  {command} up --detach {tree}
                                      the same as a service, for many workers; then
  {command} status          what runs, and who is behind
  {command} pull --group me --from start --max 5
                                      what an extract worker sees: a batch, acknowledged
  {command} down            stop it
  README.md                           ten lines of Python that do the same"""


class DemoError(Exception):
    """The demo can't go on; the message says why."""


class Step(NamedTuple):
    """One edit: what is said about it, what is done, and the events that must follow (path below the tree -> kinds)."""

    title: str
    edit: Callable[[], None]
    expected: dict[str, set[str]]


UPSERT = {"created", "modified", "moved"}
DELETE = {"deleted", "moved"}


class Watch:
    """`shardwatch watch --json` as a child, its lines read by a thread."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "watch", str(tree), "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="demo-reader", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def next(self, deadline: float) -> dict[str, Any] | None:
        """The next line; None at the deadline (monotonic). Raises DemoError if the watch has ended."""
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if line is None:
            raise DemoError(f"`shardwatch watch` ended by itself with exit {self._child.wait()}")
        if line["type"] == "status":
            say(f"   [{line['level']}] {line['message']}" + (f" -> {line['remedy']}" if line.get("remedy") else ""))
        return line

    def ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + _READY_S_MAX
        while line := self.next(deadline):
            if line["type"] == "ready":
                return line
        raise DemoError(f"`shardwatch watch` was not ready within {_READY_S_MAX:.0f} s")

    def leave(self) -> tuple[int, float]:
        """Sends SIGINT, as Ctrl-C does; gives the exit code and the seconds it took."""
        began = time.monotonic()
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
        try:
            code = self._child.wait(_LEAVE_S_MAX)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        self._reader.join(_LEAVE_S_MAX)
        return code, time.monotonic() - began


def say(text: str = "") -> None:
    print(text, flush=True)


def _restore(tree: Path) -> None:
    """Brings the tree back to what make_tree made, whatever of a run was done; idempotent."""
    if (tree / _MOVED_TO).exists():
        shutil.rmtree(tree / _MOVED_FROM, ignore_errors=True)
        (tree / _MOVED_TO).rename(tree / _MOVED_FROM)
    for name in _EDITED:
        target = tree / f"{name}{demo_tree.SUFFIX}"
        target.write_bytes(demo_tree.parse_file(demo_tree.library() / f"{name}.py"))
        target.with_suffix(".tmp").unlink(missing_ok=True)
    shutil.rmtree(tree / "demo", ignore_errors=True)
    for directory in demo_tree.deep_directories(tree):
        for burst in directory.glob("burst_*"):
            burst.unlink()


def _append(path: Path) -> None:
    with path.open("ab") as f:
        f.write(b"\n")


def _save_atomically(path: Path) -> None:
    """As careful editors and tools do: a temporary name, fsync, rename over the old one."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as f:
        f.write(path.read_bytes() + b"\n")
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(path)


def _write_new(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"_type":"Module","body":[]}')


def _write_all(paths: list[Path]) -> None:
    for path in paths:
        _write_new(path)


def _steps(tree: Path) -> Iterator[Step]:
    suffix = demo_tree.SUFFIX
    new = f"demo/hello{suffix}"
    yield Step(f"create {new}, in a new directory", lambda: _write_new(tree / new), {new: UPSERT})
    modified, saved, deleted = (f"{name}{suffix}" for name in _EDITED)
    yield Step(f"modify {modified}", lambda: _append(tree / modified), {modified: UPSERT})
    yield Step(
        f"save {saved} as an editor does: temporary file, fsync, rename",
        lambda: _save_atomically(tree / saved),
        {saved: UPSERT},
    )
    yield Step(f"delete {deleted}", (tree / deleted).unlink, {deleted: DELETE})
    inside = sorted(p.relative_to(tree / _MOVED_FROM).as_posix() for p in (tree / _MOVED_FROM).rglob(f"*{suffix}"))
    yield Step(
        f"rename the directory {_MOVED_FROM}/ to {_MOVED_TO}/, {len(inside)} files in it",
        lambda: _rename_directory(tree),
        {**{f"{_MOVED_TO}/{p}": UPSERT for p in inside}, **{f"{_MOVED_FROM}/{p}": DELETE for p in inside}},
    )
    deep = demo_tree.deep_directories(tree)
    burst = [d / f"burst_{i}{suffix}" for d in deep for i in range(_BURST_FILES)]
    yield Step(
        f"a burst: {len(burst)} files at once, down a branch {len(deep)} directories deep",
        lambda: _write_all(burst),
        {path.relative_to(tree).as_posix(): UPSERT for path in burst},
    )


def _rename_directory(tree: Path) -> None:
    (tree / _MOVED_FROM).rename(tree / _MOVED_TO)


def _run_step(number: int, step: Step, watch: Watch) -> None:
    """Makes the edit and shows what arrives. Raises DemoError where something expected does not."""
    say(f"\n{number}. {step.title}")
    began = time.monotonic()
    step.edit()
    edited = time.monotonic()
    waiting = dict(step.expected)
    shown = arrived = 0
    last = edited
    while waiting:
        line = watch.next(began + _ARRIVAL_S_MAX)
        if line is None:
            raise DemoError(f"did not arrive within {_ARRIVAL_S_MAX:.0f} s: {', '.join(sorted(waiting)[:5])}")
        if line["type"] != "event":
            continue
        last = time.monotonic()
        arrived += 1
        path = _below(watch.tree, line["path"])
        moved_from = _below(watch.tree, line["moved_from"]) if line.get("moved_from") else ""
        for name in (path, moved_from):
            if line["event_type"] in waiting.get(name, ()):
                del waiting[name]
        if shown < _SHOWN_MAX:
            shown += 1
            size = "" if line["size"] is None else f"  {line['size']:,} bytes"
            origin = f"  from {moved_from}" if moved_from else ""
            say(f"   {(last - edited) * 1000:6.0f} ms  {line['event_type']:8}  {path}{origin}{size}")
    if arrived > shown:
        say(f"   {(last - edited) * 1000:6.0f} ms  … and {arrived - shown} more: everything has arrived")


def _below(tree: Path, path: str) -> str:
    return path.removeprefix(f"{tree}/")


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another run uses {home}: wait for it, or name another directory") from None
        yield


def _progress(done: int, total: int) -> None:
    if sys.stdout.isatty():
        filled = 40 * done // total
        print(f"\r   [{'#' * filled}{'.' * (40 - filled)}] {done}/{total}", end="" if done < total else "\n", flush=True)
    elif done * 4 // total != (done - 8) * 4 // total:
        say(f"   {done}/{total}")


def _make(tree: Path) -> demo_tree.Made:
    if not tree.with_name(tree.name + ".json").exists():
        say(f"Making a real tree once, in {tree}: Python's standard library as AST JSON.")
    began = time.monotonic()
    made = demo_tree.make_tree(tree, _progress)
    say(
        f"Tree: {made.files} files, {made.bytes / 1e6:.0f} MB, {made.skipped} sources skipped because they do not parse"
        f" ({time.monotonic() - began:.1f} s)."
    )
    return made


def _show(tree: Path) -> None:
    say(f"\n$ shardwatch watch {tree} --json")
    watch = Watch(tree)
    try:
        ready = watch.ready()
        say(
            f"   ready after {ready['ready_s']:.2f} s: {ready['files']} files in {ready['directories']} directories,"
            f" {ready['shards']} shard(s), {ready['backend']}"
        )
        for number, step in enumerate(_steps(tree), start=1):
            time.sleep(_PAUSE_S)
            _run_step(number, step, watch)
        time.sleep(_PAUSE_S)
    finally:
        code, took_s = watch.leave()
    say(f"\nCtrl-C: everything gone after {took_s:.1f} s, exit {code}.")
    if code != 0:
        raise DemoError(f"`shardwatch watch` left with exit {code}")


def _end(signum: int, frame: object) -> None:
    """Leaves by way of every `finally`: the watch is ended, the tree restored."""
    raise SystemExit(128 + signum)


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; gives the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    home = Path(arguments[0] if arguments else ".demo").absolute()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _end)
    # It plays the terminal that sends Ctrl-C, so its child must not inherit that Ctrl-C is ignored, as in a shell's background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tree = home / "tree"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _only_one(home):
            _make(tree)
            _restore(tree)  # a run that was killed may have left its edits
            try:
                _show(tree)
            finally:
                _restore(tree)
    except DemoError as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    say()
    script = Path(sys.executable).with_name("shardwatch")
    say(_NEXT.format(command=os.path.relpath(script) if script.exists() else "shardwatch", tree=os.path.relpath(tree)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
