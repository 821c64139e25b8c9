"""What tests of `ship` share: the command, a consumer that runs through, and what both must come to.

Consumers apply the rule of docs/fleet.md, which they take from its example.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nats
import nats.errors
from cli_process import GUARD_S, Command, put
from fleet_example import fleet_example
from jetstream import NatsCluster, NatsServer, everything
from running import Running, Stat, walk
from waiting import eventually

#: Guard of everything that includes that programs are started again.
EQUAL_S = 90.0


def _files(example: ModuleType, source: str) -> dict[bytes, Stat]:
    """What its mirror holds of a source."""
    return {
        path: (event["size"], event["mtime_ns"])
        for (of, path), (_, event) in list(example.mirror.items())
        if of == source and event["event_type"] != "deleted" and not event["is_directory"]
    }


@contextlib.contextmanager
def shipping(state_dir: Path, server: NatsServer | NatsCluster, *more: str, source: str = "one") -> Iterator[Command]:
    """The command, once it ships."""
    arguments = [server.url, "--source", source, "--create", "--state-dir", str(state_dir), *more]
    with Command("ship", *arguments) as ship:
        ship.complains(f"shipping {source}")
        yield ship


def heads(server: NatsServer | NatsCluster) -> dict[str, dict[str, Any]]:
    return {body["source"]: body for _, body in everything(server, "shardwatch") if body["type"] == "head"}


def assert_shipped(
    service: Running, server: NatsServer | NatsCluster, root: Path, *examples: ModuleType, source: str = "one"
) -> None:
    """Waits until a consumer that begins now, and these, hold what the tree holds, and the stream nothing else of it."""
    service.client.sync(GUARD_S, patience_s=GUARD_S)

    def equal() -> bool:
        try:
            found = [body for _, body in everything(server, "shardwatch")]
        except nats.errors.Error as error:  # the stream is about to be made
            raise AssertionError("not yet") from error
        return compared(found)

    def compared(found: list[dict[str, Any]]) -> bool:
        there = walk(root, service.settings)
        head = next((body for body in reversed(found) if body["type"] == "head" and body["source"] == source), None)
        assert head is not None and head["complete"], head
        late = fleet_example()
        for body in found:
            late.apply(body)
        for example in (late, *examples):
            mirror = _files(example, source)
            missing, extra = sorted(there.keys() - mirror.keys()), sorted(mirror.keys() - there.keys())
            assert mirror == there, f"missing {missing}, extra {extra}"
        generations = {body["generation"] for body in found if body["source"] == source}
        assert generations == {head["generation"]}, "older generations are removed"
        return True

    eventually(equal, EQUAL_S, every_s=0.1)


def change(root: Path, turn: int) -> None:
    """One file comes, one is rewritten, one is renamed, one goes."""
    put(root / f"new{turn}.json", "x" * turn)
    put(root / "kept.json", "y" * (turn + 1))
    put(root / f"moves{turn}.json", "{}")
    os.rename(root / f"moves{turn}.json", root / f"moved{turn}.json")
    (root / f"new{turn - 1}.json").unlink(missing_ok=True)
