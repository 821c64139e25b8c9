"""Decides whether a service is healthy. Everything that reports the health of a service uses this module.

It does no input or output. It is given what supervisord says about its programs and what the aggregator says about the
engine. It returns a verdict with its reasons, and for each of them a remedy. `status`, `doctor`, `pull`, `up`, `watch`,
waiting for readiness, and their exit codes all depend on it (docs/operations.md, "Health").
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from shardwatch.shard.contract.version import UPGRADED

from ..terminal.render import counted, duration, readable
from ..terminal.tables import Fields

State = Literal["healthy", "degraded", "starting", "down"]
#: error: something is not seen, or not handed out, now. warning: late or costly, and can be corrected. note: intended,
#: unavoidable, or over; it does not change the verdict.
Severity = Literal["error", "warning", "note"]
_Key = tuple[str, ...]

#: Exit codes of `status` and `doctor`, by state. `starting` needs no attention.
EXIT_CODES: Final[Mapping[State, int]] = {"healthy": 0, "starting": 0, "degraded": 1, "down": 3}
#: supervisord's groups of the programs of the configuration (`plugin.names`).
EXEC: Final = "exec"
SHIP: Final = "ship"
#: The aggregator does not answer at all; the engine is then represented by {"silent": True}.
SILENT: Final = ("silent",)
#: The databases can't be used now.
STORAGE: Final = ("storage",)


class HealthFinding(Struct, frozen=True):
    """One problem. `key` identifies it, and `count` says how large it is."""

    key: _Key
    level: Severity
    message: str
    remedy: str = ""
    count: int = 0

    def __str__(self) -> str:
        """One line: what is wrong, and what to do in brackets."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def differs(self, other: HealthFinding) -> bool:
        """Whether the difference is worth another line. It is not for every directory that appears or disappears in a tree of
        thousands.
        """
        return abs(self.count - other.count) * 10 > other.count


class Health(Struct, frozen=True):
    """The verdict, with its reasons, the most serious first."""

    state: State
    findings: tuple[HealthFinding, ...]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.state]

    @property
    def troubles(self) -> list[HealthFinding]:
        """Those findings that need attention."""
        return [finding for finding in self.findings if finding.level != "note"]


def examine(
    engine: Fields | None,
    programs: Sequence[Fields],
    *,
    groups: Iterable[Fields] = (),
    ship: Fields | None = None,
    reason: str = "",
    state_dir: str = "STATE_DIR",
) -> Health:
    """Decides on the health of a service that exists (its lock is held).

    Args:
        engine: what the aggregator's `status` says; None: it does not answer.
        programs: what supervisord's plugin says of each program (`service.programs`); empty: supervisord does not answer.
        groups: as in `groups list`; which of them have set paths aside.
        ship: what is shipped (`service.shipping`).
        reason: why the aggregator does not answer, as far as this is known, such as its last log line.
        state_dir: for the remedies.
    """
    found = list(program_findings(programs, state_dir))
    reported = {finding.key[1] for finding in found}
    if engine is None:
        # Why it ends, as its log has it, is what mends it.
        found = [replace(f, message=f"{f.message}: {reason}") if reason and _wants_reason(f, programs) else f for f in found]
        if "aggregator" not in reported:
            message = f"the aggregator does not answer{f': {reason}' if reason else ''}; changes are kept, and come when it does"
            found.append(HealthFinding(SILENT, "error", message, f"see {state_dir}/logs/aggregator.log"))
        return Health("down", _sorted(found))
    if not programs:
        remedy = f"see {state_dir}/logs/supervisord.log"
        found.append(HealthFinding(("supervisord",), "error", "supervisord does not answer: what dies is not restarted", remedy))
    # What supervisord knows of a program is more than that its shard is silent, or has a stand-in.
    standing_in = any(row["breaker"] == "stand-in" for row in programs)
    found += [finding for finding in engine_findings(engine) if not _is_reported(finding, reported, standing_in)]
    found += group_findings(groups)
    found += ship_findings(ship)
    health = Health("healthy", _sorted(found))
    if health.troubles:
        return Health("degraded", health.findings)
    starting = not engine.get("ready") or any(map(_is_starting, programs))
    return Health("starting" if starting else "healthy", health.findings)


def _wants_reason(finding: HealthFinding, programs: Sequence[Fields]) -> bool:
    """Whether it concerns an aggregator that was not stopped on purpose."""
    return finding.key == ("program", "aggregator") and not any(
        row["name"] == "aggregator" and row["state"] in ("STOPPED", "STOPPING") for row in programs
    )


def _is_reported(finding: HealthFinding, reported: set[str], standing_in: bool) -> bool:
    match finding.key:
        case ("silent", shard):
            return shard in reported
        case ("degraded", "stand-in", _):
            return standing_in
    return False


def _is_starting(row: Fields) -> bool:
    """Whether a program has not sent a pulse yet. supervisord itself calls it STARTING for a second in any case. Nobody waits for
    programs of the configuration."""
    return row["group"] not in (EXEC, SHIP) and bool(row["state"] in ("STOPPED", "STARTING") and not row.get("heard"))


def _sorted(findings: Iterable[HealthFinding]) -> tuple[HealthFinding, ...]:
    grave = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda finding: grave[finding.level]))


# Programs -------------------------------------------------------------------------------------------------------------


def program_name(row: Fields) -> str:
    """As supervisorctl says it: `aggregator`, `shards:00`."""
    return str(row["name"] if row["name"] == row["group"] or ":" in row["name"] else f"{row['group']}:{row['name']}")


def log_name(row: Fields) -> str:
    """The name of its log in `logs/`, without the suffix."""
    return program_name(row).replace("shards:", "shard-", 1).replace("exec:", "exec-", 1)


def keeps_ending(row: Fields) -> bool:
    """Whether waiting for that program is useless, because its breaker is open and it has no stand-in."""
    return bool(row["breaker"] == "waiting")


def program_findings(programs: Iterable[Fields], state_dir: str) -> Iterator[HealthFinding]:
    """Programs that do not run as they should, and the consequences. `key[1]` is the program's name, or the id of a shard."""
    control = f"supervisorctl -c {shlex.quote(f'{state_dir}/supervisord.conf')}"
    for row in programs:
        name = program_name(row)
        found = _program(row, name, f"{state_dir}/logs/{log_name(row)}.log", control)
        if found is not None:
            level, message, remedy = found
            yield HealthFinding(("program", name.removeprefix("shards:")), level, message, remedy)


def _program(row: Fields, name: str, log: str, control: str) -> tuple[Severity, str, str] | None:
    """(level, message, remedy) for one program, None where all is well."""
    if float(row["stuck_s"]):
        message = f"{name} (pid {row['pid']}) was killed {duration(row['stuck_s'])} ago and still exists: stuck in the kernel"
        remedy = "look for a disk or a network filesystem that hangs; it is not replaced until it is gone"
        return "error", message, remedy
    if row["breaker"] != "closed":
        message = f"{name} died {counted(int(row['short_lives']), 'time')} in a row, {_BREAKERS[row['breaker']](row)}"
        remedy = f"see {log}; `{control} restart {name}` tries it at once"
        return "error" if keeps_ending(row) else "warning", message, remedy
    if row["state"] in ("STOPPED", "STOPPING") and row.get("started", True):
        return "error", f"{name} is stopped: {_meanwhile(name)}", f"{control} start {name}"
    if row["state"] in ("RUNNING", "STARTING", "STOPPED"):
        return None
    message = f"{name} does not run ({str(row['state']).lower()}): {_meanwhile(name)}"
    return "error", message, f"it is restarted automatically; if this continues, see {log}"


def _meanwhile(name: str) -> str:
    """The consequences while a program does not run."""
    if name == "aggregator":
        return "nothing is handed out; changes are kept, and come when it runs"
    if name == "coordinator":
        return "no plan is made for new roots and no shard is added; what is watched goes on"
    if name.startswith(f"{EXEC}:"):
        return "the changes of its group wait for it"
    if name == SHIP:
        return "nothing is shipped; the changes of its group wait for it"
    return "changes in its subtrees are not seen until it runs"


_BREAKERS: Final = {
    "stand-in": lambda row: f"a stand-in sweeps its subtrees; tried again after {duration(row['retry_s'])}",
    "waiting": lambda row: f"nothing runs in its place; tried again in {duration(row['retry_s'])}",
    "trying": lambda row: f"tried again since {duration(row['up_s'])}",
}


# The engine -----------------------------------------------------------------------------------------------------------


def engine_findings(engine: Fields) -> Iterator[HealthFinding]:
    """The problems that the aggregator reports. `engine` may be one that contains only {"silent": True}."""
    if engine.get("silent"):
        message = "the aggregator does not answer; changes are kept, and come when it does"
        yield HealthFinding(SILENT, "error", message, "see logs/aggregator.log in the state directory")
    if storage := engine.get("storage"):
        yield HealthFinding(STORAGE, "error", f"{storage['message']}; changes are kept, and come later", str(storage["remedy"]))
    yield from _degraded(engine.get("degraded") or [])
    for hold in engine.get("holds") or []:
        if hold["spent"]:
            message = f"{hold['name']} has held for longer than hold_ms_max; batches are not held back for it any more"
            remedy = "remove it, if no git or hg runs there" if hold["kind"] == "lock" else ""
            yield HealthFinding(("spent", str(hold["name"])), "warning", message, remedy)
    for shard in engine.get("shards") or []:
        if shard.get("state") == "silent" or (shard.get("state") == "absent" and engine.get("ready")):
            message = f"shard {shard['id']} has sent no sign of life; its changes are late"
            yield HealthFinding(("silent", str(shard["id"])), "error", message, "see logs/ in the state directory")
        elif shard.get("state") == "other version":
            message = f"shard {shard['id']} runs another version of shardwatch than the aggregator; its changes are late"
            yield HealthFinding(("other version", str(shard["id"])), "error", message, UPGRADED)
    yield from _late(engine.get("polling"))
    for note in engine.get("notes") or []:
        yield HealthFinding(("note", str(note)), "note", str(note))


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
    remedy = f"set poll_cpu_percent to {math.ceil(float(polling['needed_percent']))} or poll_ms_max higher"
    if polling["for_want_of_watches"]:
        remedy += ", or allow more watches"
    yield HealthFinding(("polling",), "warning", message, remedy, count)


def _degraded(doubts: Iterable[Fields]) -> Iterator[HealthFinding]:
    # Subtrees with the same reason (a limit, met in every shard) are one trouble with a count, however many they are.
    alike: dict[_Key, list[Fields]] = {}
    for doubt in doubts:
        alike.setdefault((str(doubt["state"]), str(doubt["reason"])), []).append(doubt)
    for (state, reason), same in alike.items():
        count = sum(max(1, int(d.get("directories") or 0)) for d in same)
        where = readable(str(same[0]["path"]))
        if len(same) > 1:
            where += f" and {counted(len(same) - 1, 'other subtree')}"
        yield HealthFinding(
            key=("degraded", state, reason),
            level=_level_of(same[0]),
            message=f"{counted(count, 'directory')} {_STATES.get(state, state)} ({where}): {reason}",
            remedy=combined_remedy([str(d["remedy"]) for d in same]),
            count=count,
        )


def _level_of(doubt: Fields) -> Severity:
    if doubt["state"] == "polled" and not doubt["remedy"]:
        return "note"  # it was asked for, or its filesystem tells nothing
    if doubt["state"] in ("fanotify", "inotify"):
        return "note"  # it is watched, only by the other backend
    return "warning" if doubt["state"] in ("polled", "not followed") else "error"


#: How a state reads in a line, where it is not itself the word.
_STATES: Final = {
    "stand-in": "swept by a stand-in",
    "fanotify": "watched by fanotify",
    "inotify": "watched by inotify, not by fanotify",
}

_SYSCTL = re.compile(r"((?:fs\.inotify|user)\.\w+=)(\d+)")


def combined_remedy(remedies: Sequence[str]) -> str:
    """One remedy for all of them: the first one, or for a sysctl the largest value that any shard asks for."""
    values = [int(found[2]) for remedy in remedies if (found := _SYSCTL.search(remedy))]
    return _SYSCTL.sub(lambda m: f"{m[1]}{max(values)}", remedies[0]) if values else remedies[0]


def group_findings(groups: Iterable[Fields]) -> Iterator[HealthFinding]:
    """Paths that were set aside, by group."""
    for group in groups:
        if count := int(group.get("parked_paths") or 0):
            message = f"group {readable(str(group['name']))} has set {counted(count, 'path')} aside: each attempt failed"
            remedy = "see `shardwatch dead list`; correct the worker, then `shardwatch dead retry`"
            yield HealthFinding(("parked", str(group["name"])), "warning", message, remedy, count)


def ship_findings(ship: Fields | None) -> Iterator[HealthFinding]:
    """Why nothing can be shipped now."""
    if ship is not None and ship["error"]:
        message = f"nothing is shipped: {readable(str(ship['error']))}; changes wait in the group {readable(str(ship['group']))}"
        yield HealthFinding((SHIP,), "warning", message, str(ship["remedy"]))
