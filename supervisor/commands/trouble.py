"""What is wrong with a running service, told once: compares one status of the engine with the one before.

Pure. The status is what the `status` request of the extract protocol answers (docs/protocol.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shardwatch.supervisor.commands.lines import status_object
from shardwatch.supervisor.render import counted, readable


class Trouble:
    """Remembers what has been told; gives the lines for what appeared, changed or ended since."""

    def __init__(self) -> None:
        self._told: dict[_Key, _Finding] = {}

    def lines(self, status: Mapping[str, Any]) -> list[dict[str, str]]:
        """Status lines for the difference to the last call, errors first; empty where nothing changed."""
        now = {finding.key: finding for finding in _findings(status)}
        if SILENT in now or STORAGE in now:
            now = {**self._told, **now}  # what else is wrong can't be known
        lines = []
        for key, finding in now.items():
            before = self._told.get(key)
            if before is None or finding.differs(before):
                lines.append(status_object(finding.level, finding.message, finding.remedy))
            else:
                now[key] = before  # small steps add up to a change worth telling
        lines += [status_object("warning", f"over: {f.message}") for key, f in self._told.items() if key not in now]
        self._told = now
        return sorted(lines, key=lambda line: line["level"])


_Key = tuple[str, ...]

#: The service does not answer at all; the status to tell it by is {"silent": True}.
SILENT: Final = ("silent",)
#: The databases can't be used now.
STORAGE: Final = ("storage",)


@dataclass(frozen=True)
class _Finding:
    """One trouble: `key` says which it is, `count` how large."""

    key: _Key
    level: str
    message: str
    remedy: str = ""
    count: int = 0

    def differs(self, other: _Finding) -> bool:
        """Whether it is worth another line: not for every directory that comes or goes in a tree of thousands."""
        return abs(self.count - other.count) * 10 > other.count


def _findings(status: Mapping[str, Any]) -> Iterator[_Finding]:
    """All that is wrong now."""
    if status.get("silent"):
        message = "the aggregator does not answer; changes are kept, and come when it does"
        yield _Finding(SILENT, "error", message, "see logs/aggregator.log in the state directory")
    if storage := status.get("storage"):
        yield _Finding(STORAGE, "error", f"{storage['message']}; changes are kept, and come later", str(storage["remedy"]))
    # Subtrees with the same reason (a limit, met in every shard) are one trouble with a count, however many they are.
    alike: dict[_Key, list[Mapping[str, Any]]] = {}
    for doubt in status.get("degraded") or []:
        alike.setdefault((str(doubt["state"]), str(doubt["reason"])), []).append(doubt)
    for (state, reason), doubts in alike.items():
        count = sum(max(1, int(d.get("directories") or 0)) for d in doubts)
        where = readable(str(doubts[0]["path"]))
        if len(doubts) > 1:
            where += f" and {counted(len(doubts) - 1, 'other subtree')}"
        yield _Finding(
            key=("degraded", state, reason),
            level="warning" if state in ("polled", "not followed") else "error",
            message=f"{counted(count, 'directory')} {_STATES.get(state, state)} ({where}): {reason}",
            remedy=combined_remedy([str(d["remedy"]) for d in doubts]),
            count=count,
        )
    for hold in status.get("holds") or []:
        if hold["spent"]:
            message = f"{hold['name']} has held for longer than hold_ms_max; batches are not held back for it any more"
            remedy = "remove it, if no git or hg runs there" if hold["kind"] == "lock" else ""
            yield _Finding(("spent", str(hold["name"])), "warning", message, remedy)
    for shard in status.get("shards") or []:
        if shard.get("state") == "silent":
            message = f"shard {shard['id']} gives no sign of life; its changes come late"
            yield _Finding(("silent", str(shard["id"])), "error", message, "see logs/ in the state directory")
    for note in status.get("notes") or []:
        yield _Finding(("note", str(note)), "warning", str(note))


#: How a state reads in a line, where it is not itself the word.
_STATES: Final = {"stand-in": "swept by a stand-in"}

_SYSCTL = re.compile(r"(fs\.inotify\.\w+=)(\d+)")


def combined_remedy(remedies: Sequence[str]) -> str:
    """One remedy for all: the first, and of a sysctl value the largest that any shard asks for."""
    values = [int(found[2]) for remedy in remedies if (found := _SYSCTL.search(remedy))]
    return _SYSCTL.sub(lambda m: f"{m[1]}{max(values)}", remedies[0]) if values else remedies[0]
