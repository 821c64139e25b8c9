"""What is wrong with a running service, told once: compares one status of the engine with the one before.

Pure. The status is what the `status` request of the extract protocol answers (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shardwatch.supervisor.commands.lines import status_object
from shardwatch.supervisor.render import counted, readable

StatusObject = dict[str, str]


class Trouble:
    """Remembers what has been told; gives the lines for what appeared, changed or ended since."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, ...], tuple[Any, ...]] = {}
        self._names: dict[tuple[str, ...], str] = {}

    def lines(self, status: Mapping[str, Any]) -> list[StatusObject]:
        """Status lines for the difference to the last call, worst first; empty where nothing changed."""
        now = {}
        found: list[StatusObject] = []
        for key, state, line in _troubles(status):
            now[key] = state
            if self._told.get(key) != state:
                found.append(line)
            self._names[key] = line["message"]
        for key in [k for k in self._told if k not in now]:
            found.append(status_object("warning", f"over: {self._names.pop(key)}"))
        self._told = now
        return sorted(found, key=lambda line: line["level"])


def degraded_of(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All degraded subtrees in a status: maps with path, state, reason, remedy, directories."""
    listed = status.get("degraded")
    if listed is not None:
        return list(listed)
    return [doubt for shard in status.get("shards", []) for doubt in shard.get("doubts", [])]


def _troubles(status: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...], StatusObject]]:
    """(what it is about, what would be news about it, the line) of all that is wrong now."""
    # Subtrees that share state, reason and remedy (a limit) are one trouble with a count, however many they are.
    alike: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for doubt in degraded_of(status):
        alike.setdefault((str(doubt["state"]), str(doubt["reason"]), str(doubt["remedy"])), []).append(doubt)
    for (state, reason, remedy), doubts in alike.items():
        directories = sum(max(1, int(d.get("directories") or 0)) for d in doubts)
        first = readable(str(doubts[0]["path"]))
        where = first if len(doubts) == 1 else f"{first} and {counted(len(doubts) - 1, 'other subtree')}"
        level = "warning" if state in ("polled", "loop") else "error"
        key = ("degraded", state, reason) if len(doubts) > 1 or state == "polled" else ("degraded", state, reason, first)
        message = f"{counted(directories, 'directory')} {state}: {where}: {reason}"
        yield key, (directories, remedy), status_object(level, message, remedy)
    for shard in status.get("shards", []):
        if shard.get("silent"):
            message = f"shard {shard['id']} gives no sign of life"
            yield ("silent", str(shard["id"])), (), status_object("error", message, "see logs/ in the state directory")
    for group in status.get("groups", []):
        aside = group.get("parked") or group.get("set_aside") or []
        count = aside if isinstance(aside, int) else len(aside)
        if count:
            message = f"group {group.get('group', group.get('name'))}: {counted(count, 'path')} set aside after failing too often"
            yield ("aside", str(group.get("group"))), (count,), status_object("warning", message, "see `shardwatch status`")
