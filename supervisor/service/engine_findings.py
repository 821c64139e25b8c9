"""What is wrong with what a service watches and hands out, by what the aggregator says of it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shardwatch.shard.contract.state.options import PERCENT_ALLOWED, POLL_MS_ALLOWED
from shardwatch.shard.contract.version import UPGRADED

from ..planning.memory_needs import AGGREGATOR_BYTES, SHARD_BYTES, shards_within
from ..terminal.render import counted, duration, readable
from ..terminal.tables import Fields
from .degradations import BY_REASON
from .finding import HealthFinding, Key

_EXCLUDE: Final = "exclude what need not be watched"
#: Seconds after which a change that is pending in a group is mentioned. The rule ShardwatchGroupBehind has the same.
BEHIND_S: Final = 900.0
#: Keys of findings. The aggregator does not answer at all; the engine is then represented by {"silent": True}.
SILENT: Final = ("silent",)
#: The databases can't be used now.
STORAGE: Final = ("storage",)


def engine_findings(engine: Fields) -> Iterator[HealthFinding]:
    """The problems that the aggregator reports. `engine` may be one that contains only {"silent": True}."""
    if engine.get("silent"):
        message = "the aggregator does not answer; changes are kept, and come when it does"
        yield HealthFinding(SILENT, "aggregator_silent", message, "see logs/aggregator.log in the state directory")
    if storage := engine.get("storage"):
        message, remedy = f"{storage['message']}; changes are kept, and come later", str(storage["remedy"])
        yield HealthFinding(STORAGE, "storage", message, remedy or BY_REASON["storage"].remedy)
    yield from _degraded(engine.get("degraded") or [])
    for hold in engine.get("holds") or []:
        if hold["spent"]:
            message = f"{hold['name']} has held for longer than hold_ms_max; batches are not held back for it any more"
            by_lock = hold["kind"] == "lock"
            remedy = "remove it, if no git or hg runs there" if by_lock else "`shardwatch release` ends it, or raise hold_ms_max"
            yield HealthFinding(("spent", str(hold["name"])), "hold_spent", message, remedy)
    for shard in engine.get("shards") or []:
        if shard.get("state") == "silent" or (shard.get("state") == "absent" and engine.get("ready")):
            message = f"shard {shard['id']} has sent no sign of life; its changes are late"
            yield HealthFinding(("silent", str(shard["id"])), "shard_silent", message, "see logs/ in the state directory")
        elif shard.get("state") == "other version":
            message = f"shard {shard['id']} runs another version of shardwatch than the aggregator; its changes are late"
            yield HealthFinding(("other version", str(shard["id"])), "shard_version", message, UPGRADED)
        elif float(shard.get("rescan_pause_ms") or 0):
            yield _overflowing(shard)
    yield from _late(engine.get("polling"))
    yield from _restrained(engine.get("memory"), engine.get("priority"))
    for note in engine.get("notes") or []:
        yield HealthFinding(("note", str(note)), "notice", str(note), BY_REASON["notice"].remedy)
    nothing = str(engine.get("nothing_watched") or "")
    if nothing:
        yield HealthFinding(("nothing watched",), "nothing_watched", nothing, BY_REASON["nothing_watched"].remedy)


def _overflowing(shard: Fields) -> HealthFinding:
    """One overflow followed another, so the next rescan waits."""
    message = (
        f"the kernel's queue of shard {shard['id']} overflows again and again: changes may come "
        f"{duration(float(shard['rescan_pause_ms']) / 1000)} late, and none is missed"
    )
    return HealthFinding(("overflows", str(shard["id"])), "overflows", message, BY_REASON["overflows"].remedy)


def _late(polling: Fields | None) -> Iterator[HealthFinding]:
    """Polled directories are more than can be looked at in time."""
    if not polling or float(polling["needed_percent"]) <= float(polling["poll_cpu_percent"]):
        return
    count = sum(int(tier["directories"]) for tier in polling["tiers"])
    bound_s = max(float(tier["bound_s"]) for tier in polling["tiers"])
    message = (
        f"changes in {counted(count, 'polled directory')} are seen within {duration(bound_s)} only, because "
        f"{polling['poll_cpu_percent']:g} % of a core does not suffice for {duration(polling['poll_ms_max'] / 1000)}"
    )
    enough, ways = math.ceil(float(polling["needed_percent"])), []
    if enough <= PERCENT_ALLOWED:
        ways.append(f"set poll_cpu_percent to {enough}")
    if polling["poll_ms_max"] < POLL_MS_ALLOWED:
        ways.append("set poll_ms_max higher")
    ways.append("allow more watches" if polling["for_want_of_watches"] else _EXCLUDE)
    yield HealthFinding(("polling",), "polling_late", message, _one_of(ways), count)


def _restrained(memory: Fields | None, priority: Fields | None) -> Iterator[HealthFinding]:
    """Programs that have more memory than they may have, and a priority that was refused."""
    limit = int(memory["mib_max"]) if memory else 0
    rows = memory["programs"] if memory else ()
    for row in rows:
        name, has = readable(str(row["name"])), int(row["bytes"]) >> 20
        if row["state"] == "needs more":
            message = f"{name} needs {has:,} MiB, and memory_mib_max is {limit:,}: to start it again would not help"
            ways = [f"set memory_mib_max to {_enough(has):,}", *_with_less(name, rows, limit << 20)]
            yield HealthFinding(("memory", name), "memory", message, _one_of(ways), has)
        elif row["state"] == "over":
            message = f"{name} has {has:,} MiB, and memory_mib_max is {limit:,}: it will be started again"
            yield HealthFinding(("memory over", name), "memory_over", message, "", has)
    if priority and priority["refused"]:
        yield HealthFinding(("priority",), "priority", str(priority["refused"]), str(priority["remedy"]))


def _with_less(name: str, programs: Iterable[Fields], cap: int) -> list[str]:
    """What has a program do with `cap` bytes, if anything has."""
    if name.startswith("shards:"):
        of_shards = [int(row["bytes"]) for row in programs if str(row["name"]).startswith("shards:")]
        count = shards_within(cap, sum(max(0, has - SHARD_BYTES) for has in of_shards))
        more = [f"use {count} shards"] if count > len(of_shards) else []
        return [*more, _EXCLUDE] if cap > SHARD_BYTES else []
    return [_EXCLUDE] if cap > AGGREGATOR_BYTES else []


def _one_of(ways: Sequence[str]) -> str:
    """Remedies of which each is enough, as one."""
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"


def _enough(mib: int) -> int:
    """A limit that leaves room to a process which needs so many MiB: half as much again, in steps of 16."""
    return -(-mib * 3 // 2 // 16) * 16


def _degraded(doubts: Iterable[Fields]) -> Iterator[HealthFinding]:
    # Subtrees with the same reason (a limit, met in every shard) are one trouble with a count, however many they are.
    alike: dict[Key, list[Fields]] = {}
    for doubt in doubts:
        alike.setdefault((str(doubt["state"]), str(doubt["reason"])), []).append(doubt)
    for (state, reason), same in alike.items():
        count = sum(max(1, int(d.get("directories") or 0)) for d in same)
        where = readable(str(same[0]["path"]))
        if len(same) > 1:
            where += f" and {counted(len(same) - 1, 'other subtree')}"
        yield HealthFinding(
            key=("degraded", state, reason),
            reason=(name := _reason_of(same[0])),
            message=f"{counted(count, 'directory')} {_STATES.get(state, state)} ({where}): {reason}",
            remedy=combined_remedy([str(d["remedy"]) for d in same]) or _remedy_of(name),
            count=count,
        )


def _reason_of(doubt: Fields) -> str:
    if doubt["state"] == "polled" and not doubt["remedy"]:
        return "polled_as_set"  # it was asked for, or its filesystem tells nothing
    return _REASONS.get(str(doubt["state"]), "unknown")


def _remedy_of(reason: str) -> str:
    """What helps in general, where a finding has nothing more exact; "" for a note, of which nobody has to do anything."""
    return "" if BY_REASON[reason].level == "note" else BY_REASON[reason].remedy


#: States of subtrees, by the reason that they are.
_REASONS: Final = {
    "polled": "polled",
    "stand-in": "stand_in",
    "unreadable": "unreadable",
    "missing": "missing",
    "unmounted": "unmounted",
    "unanswered": "unanswered",
    "too deep": "too_deep",
    "not followed": "not_followed",
    "virtual": "made_up",
    "fanotify": "by_fanotify",
    "inotify": "by_inotify",
}

#: How a state reads in a line, where it is not itself the word.
_STATES: Final = {
    "virtual": "not watched",
    "stand-in": "swept by a stand-in",
    "fanotify": "watched by fanotify",
    "inotify": "watched by inotify, not by fanotify",
}

_SYSCTL = re.compile(r"((?:fs\.inotify|user)\.\w+=)(\d+)")


def combined_remedy(remedies: Sequence[str]) -> str:
    """One remedy for all of them: the first one, or for a sysctl the largest value that any shard asks for."""
    values = [int(found[2]) for remedy in remedies if (found := _SYSCTL.search(remedy))]
    return _SYSCTL.sub(lambda m: f"{m[1]}{max(values)}", remedies[0]) if values else remedies[0]


def hold_findings(engine: Fields) -> Iterator[HealthFinding]:
    """Who holds batches back now, which is intended."""
    for hold in engine.get("holds") or []:
        if not hold["spent"]:
            message = f"batches are held back by {readable(str(hold['name']))}"
            yield HealthFinding(("held", str(hold["name"])), "held", message, BY_REASON["held"].remedy)


def verification_findings(engine: Fields) -> Iterator[HealthFinding]:
    """What left no hint, and was found all the same."""
    if count := int((engine.get("verification") or {}).get("findings") or 0):
        message = f"the verification found {counted(count, 'change')} without a hint, and repaired the index"
        yield HealthFinding(("verified",), "verified", message, BY_REASON["verified"].remedy, count)


def group_findings(groups: Iterable[Fields]) -> Iterator[HealthFinding]:
    """Paths that were set aside, batches that come again, and changes that wait for long, by group."""
    for group in groups:
        name = str(group["name"])
        if count := int(group.get("parked_paths") or 0):
            message = f"group {readable(name)} has set {counted(count, 'path')} aside: each attempt failed"
            yield HealthFinding(("parked", name), "set_aside", message, BY_REASON["set_aside"].remedy, count)
        if count := int(group.get("retrying") or 0):
            message = f"{counted(count, 'path')} of group {readable(name)} failed or were not acked in time: they come again"
            yield HealthFinding(("again", name), "tried_again", message, BY_REASON["tried_again"].remedy, count)
        if float(group.get("oldest_pending_s") or 0) > BEHIND_S:
            pending, age = counted(int(group["backlog"]), "path"), duration(float(group["oldest_pending_s"]))
            message = f"group {readable(name)} has {pending} pending, the oldest change of {age} ago"
            yield HealthFinding(("behind", name), "behind", message, BY_REASON["behind"].remedy)


def ship_findings(ship: Fields | None) -> Iterator[HealthFinding]:
    """Why nothing can be shipped now."""
    if ship is not None and ship["error"]:
        message = f"nothing is shipped: {readable(str(ship['error']))}; changes wait in the group {readable(str(ship['group']))}"
        yield HealthFinding(("ship",), "not_shipped", message, str(ship["remedy"]) or BY_REASON["not_shipped"].remedy)


def web_findings(web: Fields | None) -> Iterator[HealthFinding]:
    """Why the page can't be served now. Files are watched all the same."""
    if web is not None and web["error"]:
        message = f"the web page is not served: {readable(str(web['error']))}"
        yield HealthFinding(("web",), "no_page", message, str(web["remedy"]) or BY_REASON["no_page"].remedy)
