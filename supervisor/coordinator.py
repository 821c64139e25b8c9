"""The coordinator: decides which shards there are, and sees that supervisord runs these and no others.

An ordinary program of supervisord's. It plans once at its start (a kept plan that still fits is kept, with its
generation), writes the plan, adds the shards by id, and then wakes up every RECONCILE_S only. It owns no tree, no index
and no socket: killed at any point, its successor does the same again.
"""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import msgspec

from shardwatch.shard.contract.errors import ShardwatchError, UsageError
from shardwatch.shard.contract.layout import Layout
from shardwatch.shard.contract.life import Lock, die_with_parent
from shardwatch.shard.contract.planfile import Anchor, Plan, read_plan, write_plan
from shardwatch.shard.contract.settings import Settings, read_settings

#: Seconds between two looks at supervisord's list: only an operator's `remove` or `update` can change it.
RECONCILE_S: Final = 10.0
#: How long a predecessor may hold the lock, seconds: it is told to leave within 1 s.
LOCK_WAIT_S: Final = 20.0
#: supervisord's fault when it is on its way out (supervisor.xmlrpc.Faults.SHUTDOWN_STATE).
SHUTDOWN_STATE: Final = 6

BackendOf = Callable[[bytes], str]


class Shards(Protocol):
    """What the coordinator asks of supervisord (the name space of supervisor.plugin.rpc)."""

    def status(self) -> list[dict[str, Any]]: ...
    def add(self, shard: str) -> bool: ...
    def remove(self, shard: str) -> bool: ...


def backend_of(settings: Settings, polled: Callable[[bytes], bool]) -> BackendOf:
    """How a path is to be watched under these settings; `polled` tells file systems that raise no events."""
    if settings.backend == "polling":
        return lambda path: "polling"
    local = "native" if settings.backend == "native" or not sys.platform.startswith("linux") else "inotify"
    return lambda path: "polling" if polled(path) else local


def still_fits(plan: Plan | None, settings: Settings, key: str, backend: BackendOf) -> bool:
    """Whether a plan on disk can serve these settings as it is. Pure, but for `backend`."""
    return (
        plan is not None
        and plan.key == key
        and bool(plan.anchors)
        and settings.shards in (0, len(plan.shards()))
        and all(anchor.backend == backend(anchor.path) for anchor in plan.anchors)
    )


def same_owners(old: Plan | None, new: Plan) -> bool:
    """Whether two plans give the same subtrees to the same shards in the same way; weights aside. Pure."""

    def owners(anchors: tuple[Anchor, ...]) -> set[tuple[bytes, str, bytes, str]]:
        return {(anchor.path, anchor.shard, anchor.root, anchor.backend) for anchor in anchors}

    return old is not None and old.key == new.key and owners(old.anchors) == owners(new.anchors)


def kept_plan(layout: Layout) -> tuple[Plan | None, int]:
    """The plan on disk, and the generation that a new one must exceed. A damaged plan counts as none."""
    try:
        plan = read_plan(layout.plan)
    except msgspec.DecodeError:
        return None, int(time.time())  # above any generation that was reached one by one
    return plan, plan.generation if plan is not None else 0


def settle_plan(layout: Layout, settings: Settings) -> Plan:
    """The plan for these settings: the one on disk if it still fits, else a new one, which is on disk when this returns.

    Raises OSError where the plan can't be written. Reads directories of the roots, so it may take long.
    """
    from shardwatch.shard.contract.filter import Filter
    from shardwatch.supervisor.limits import budget, filesystem, read_inotify_limits
    from shardwatch.supervisor.plan import make_plan, plan_key, tree_look

    key = plan_key(settings)
    old, generation = kept_plan(layout)
    backend = backend_of(settings, lambda path: filesystem(path)[1])
    if old is not None and still_fits(old, settings, key, backend):
        return old
    new = make_plan(
        settings.roots,
        tree_look(Filter(settings.include, settings.exclude), settings),
        shards=settings.shards,
        budget=budget(read_inotify_limits()),
        generation=generation + 1,
        key=key,
        backend=backend,
    ).plan
    if old is not None and same_owners(old, new):
        return old
    write_plan(layout.plan, new)
    return new


def reconcile(plan: Plan, shards: Shards) -> tuple[list[str], list[str]]:
    """Makes supervisord's list of shards the plan's. Returns what it added and what it removed; idempotent."""
    there = {str(row["name"]) for row in shards.status() if row["group"] == "shards"}
    wanted = set(plan.shards())
    removed = sorted(there - wanted)
    added = sorted(wanted - there)
    for shard in removed:
        shards.remove(shard)
    for shard in added:
        shards.add(shard)
    return added, removed


class _UnixConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path, timeout=self._timeout_s)

    def send_headers(self, connection: http.client.HTTPConnection, headers: list[tuple[str, str]]) -> None:
        super().send_headers(connection, [("Host", "localhost"), *headers])


def supervisord(socket_path: Path, timeout_s: float = 10.0) -> xmlrpc.client.ServerProxy:
    """XML-RPC to a supervisord: `.shards.*` is ours, `.supervisor.*` its own. Not thread-safe.

    A call raises OSError (nobody there, timeout), xmlrpc.client.Fault, or xmlrpc.client.ProtocolError.
    """
    return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(str(socket_path), timeout_s))


def run(layout: Layout) -> int:
    """Plans, reconciles, and stays until standard input ends or supervisord leaves."""
    settings = read_settings(layout.settings)
    plan = settle_plan(layout, settings)
    print(f"plan {plan.generation}: {len(plan.anchors)} anchors in {len(plan.shards())} shards", flush=True)
    proxy = supervisord(layout.supervisor_socket)
    said = ""
    while True:
        try:
            added, removed = reconcile(plan, proxy.shards)  # type: ignore[arg-type]
            if added or removed:
                print(f"added {added}, removed {removed}", flush=True)
            said = ""
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == SHUTDOWN_STATE:
                return 0
            raise ShardwatchError(f"supervisord refuses: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            proxy("close")()
            if said != str(error):
                said = str(error)
                print(f"supervisord does not answer: {said}", flush=True)
        readable, _, _ = select.select([0], [], [], RECONCILE_S if not said else 1.0)
        if readable and not os.read(0, 4096):
            return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(argv: list[str] | None = None) -> int:
    """`shardwatch-coordinator --state-dir DIR`, run by supervisord. Exit code 0 when it was told to leave."""
    arguments = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if len(arguments) != 2 or arguments[0] != "--state-dir":
            raise UsageError("usage: shardwatch-coordinator --state-dir DIR", hint="supervisord starts it")
        layout = Layout(arguments[1])
        die_with_parent()
        lock = Lock(layout.lock("coordinator"), wait_s=LOCK_WAIT_S)
        try:
            return run(layout)
        finally:
            lock.close()
    except ShardwatchError as error:
        print(f"shardwatch-coordinator: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, msgspec.MsgspecError) as error:
        print(f"shardwatch-coordinator: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
