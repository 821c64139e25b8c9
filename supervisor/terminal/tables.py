"""The tables of `status` and `groups list`. Maps in, text out. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .render import counted, duration, readable, size_of, table

#: An object of the service's answers, as `--json` prints it.
Fields = Mapping[str, Any]


def groups_table(groups: Sequence[Fields]) -> str:
    """One line per group; empty if there is none."""
    header = ("group", "state", "backlog", "batches leased", "retrying", "set aside", "workers waiting")
    columns = ("name", "state", "backlog", "leases", "retrying", "parked_paths", "waiting_pulls")
    return table(header, [[len(g[c]) if c == "leases" else g[c] for c in columns] for g in groups])


def group_text(group: Fields) -> str:
    """One group, a line for each thing that is known of it, and one for each lease."""
    name, state = readable(str(group["name"])), str(group["state"])
    oldest = group.get("oldest_pending_s")  # a service of before has none
    lines = [
        f"group {name}: {state}{': ' + readable(str(group['reason'])) if group['reason'] else ''}",
        f"acknowledged up to tick {group['cursor']}",
        f"{counted(group['backlog'], 'path')} pending, {counted(group['leased'], 'path')} on lease, "
        f"{counted(group['retrying'], 'path')} to be tried again, {counted(group['parked_paths'], 'path')} set aside",
        *([f"the oldest change that no worker was handed is of {duration(oldest)} ago"] if oldest is not None else []),
        f"{counted(group['waiting_pulls'], 'worker')} waiting",
    ]
    for lease in group["leases"]:
        worker = f" at {readable(str(lease['worker']))}" if lease["worker"] else ""
        ahead = "pulled ahead, " if lease.get("ahead") else ""
        ends = f"{ahead}attempt {lease['attempt']}, ends in {duration(max(0.0, float(lease['ends_in_s'])))}"
        lines.append(f"lease {lease['batch']}{worker}: {counted(lease['paths'], 'path')}, {ends}")
    return "".join(line + "\n" for line in lines)


def findings_text(findings: Sequence[Fields]) -> str:
    """What needs attention, a line for each finding and one for its remedy."""
    lines = []
    for finding in findings:
        lines.append(f"{finding['level']}: {readable(str(finding['message']))}\n")
        if finding["remedy"]:
            lines.append(f"    -> {readable(str(finding['remedy']))}\n")
    return "".join(lines)


def finding_line(finding: Fields) -> str:
    """One finding with its remedy, in one line without its end."""
    remedy = f" ({readable(str(finding['remedy']))})" if finding["remedy"] else ""
    return f"{finding['level']}: {readable(str(finding['message']))}{remedy}"


def programs_phrase(processes: Sequence[Fields]) -> str:
    """How many programs run, and which do not; empty if supervisord, which would know, does not answer."""
    if not processes:
        return ""
    others = [p for p in processes if not p["pid"] or p["stuck_s"]]
    if not others:
        return f"all {len(processes)} programs run"
    named = ", ".join(f"{p['name']} is {_is(p)}" for p in others)
    return f"{len(processes) - len(others)} of {counted(len(processes), 'program')} run ({named})"


def _is(process: Fields) -> str:
    """The state of a program that does not run."""
    if process["stuck_s"]:
        return "stuck in the kernel"
    return _IS.get(str(process["state"]), str(process["state"]).lower())


#: Of a program without a process, by supervisord's state of it.
_IS = {"BACKOFF": "waiting to be tried again", "EXITED": "being started again"}


def processes_table(processes: Sequence[Fields]) -> str:
    """One line per program. A program that has sent a pulse counts as running, even if supervisord has not seen it alive for a
    second yet.
    """
    header = ["process", "state", "pid", "up", "deaths/min", "memory"]
    rows = [
        [p["name"], _state(p), str(p["pid"]), duration(p["up_s"]), p["deaths"], size_of(p.get("memory_bytes") or 0)]
        for p in processes
    ]
    if any(p.get("memory_restarts") for p in processes):
        header.append("restarts for memory")
        rows = [[*row, p.get("memory_restarts", "-")] for row, p in zip(rows, processes, strict=True)]
    return table(header, rows)


def _state(process: Fields) -> str:
    return "RUNNING" if process["state"] == "STARTING" and process.get("heard") else str(process["state"])


def shards_table(shards: Sequence[Fields], processes: Sequence[Fields] = ()) -> str:
    """One line per shard, with its last report; also how many directories cannot be read, what it watches in advance, and how
    many ignore files it knows, each if this is so of any shard. `processes`: supervisord knows sooner which do not run."""
    down = {str(p["name"]).removeprefix("shards:"): str(p["state"]).lower() for p in processes if not p["pid"]}
    columns = ["backend", "directories", "files", "watches", "polled", "pending", "overflows"]
    rows = [[s["id"], down.get(s["id"], s["state"]), *(s.get(c, "-") for c in columns), _rescans(s)] for s in shards]
    header = ["shard", "state", *columns, "rescans"]
    if any(s.get("unreadable") for s in shards):
        header.append("unreadable")
        rows = [[*row, s.get("unreadable", "-")] for row, s in zip(rows, shards, strict=True)]
    taking_on = [s.get("taking_on") for s in shards]
    if any(taking_on):
        header.append("takes on")
        rows = [[*row, _taking_on(one)] for row, one in zip(rows, taking_on, strict=True)]
    known = [s.get("ignore_files") for s in shards]
    if any(count is not None for count in known):
        header.append("ignore files")
        rows = [[*row, "-" if count is None else count] for row, count in zip(rows, known, strict=True)]
    return table(header, rows)


def _rescans(shard: Fields) -> str:
    """The number of rescans, and the pause between them while one overflow follows another."""
    pause_s = int(shard.get("rescan_pause_ms") or 0) / 1000
    return f"{shard.get('rescans', '-')}{f' (paused {pause_s:g} s)' if pause_s else ''}"


def _taking_on(found: Fields | None) -> str:
    """How many subtrees a shard watches in advance, and how far that is."""
    return "-" if not found else f"{counted(int(found['anchors']), 'subtree')} ({readable(str(found['state']))})"


def polling_text(found: Fields | None) -> str:
    """How directories without a watch are looked at: how many, within which time, and at what cost. Empty if there are none."""
    if not found:
        return ""
    tiers = [tier for tier in found["tiers"] if tier["directories"]]
    said = ", ".join(f"{tier['directories']:,} {tier['tier']} (each within {tier['bound_s']:g} s)" for tier in tiers)
    count = sum(int(tier["directories"]) for tier in tiers)
    cost = f"{found['cpu_percent']:g} % of a core, {found['poll_cpu_percent']:g} % allowed"
    return f"polling: {counted(count, 'directory')}: {said}; {cost}\n"


def verification_text(found: Fields | None) -> str:
    """The progress of the verification, and its last findings."""
    if not found:
        return ""
    if not found.get("period_s"):
        return "verification: off (verify_period_s)\n"
    findings = int(found.get("findings") or 0)
    said = f"verification: {counted(int(found.get('verified') or 0), 'name')} in this pass, one takes {_span(found)}; "
    lines = [said + counted(findings, "finding")]
    for one in found.get("recent") or []:
        lines.append(f"! {readable(str(one['path']))}: {one['what']} in the index, without a hint; repaired")
    return "".join(line + "\n" for line in lines)


def _span(found: Fields) -> str:
    """Of a pass: what it takes, not what it should."""
    seconds = float(found.get("takes_s") or found["period_s"])
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:g} s"


def degraded_text(degraded: Sequence[Fields]) -> str:
    """What is not watched as it should be: the reason, the extent, and the remedy."""
    lines = []
    for subtree in degraded:
        count = int(subtree.get("directories") or 0)
        size = f" ({counted(count, 'directory')})" if count else ""
        lines.append(f"{subtree['state']}: {readable(str(subtree['path']))}{size}: {readable(str(subtree['reason']))}")
        if subtree.get("remedy"):
            lines.append(f"    -> {readable(str(subtree['remedy']))}")
    return "".join(line + "\n" for line in lines)


def holds_text(holds: Sequence[Fields]) -> str:
    """The holds, one line each; empty if there is none."""
    lines = []
    for hold in holds:
        what = "batches flow although it is held" if hold["spent"] else "batches are held back"
        lines.append(f"{what} by {readable(str(hold['name']))}, for {duration(float(hold['held_s']))}\n")
    return "".join(lines)


def set_aside_text(groups: Sequence[Fields]) -> str:
    """Paths that were set aside, by group."""
    return "".join(
        f"group {readable(group['name'])} has set aside {readable(path['path'])} after {counted(path['attempts'], 'attempt')}"
        f": {readable(path['reason'])}\n"
        for group in groups
        for path in group["parked"]
    )


def shipping_table(ship: Fields | None) -> str:
    """What is shipped, and how far that is; empty if nothing is."""
    if ship is None:
        return ""
    header = ("shipped to", "as", "connected", "paths behind", "unconfirmed", "generation")
    if not ship["running"] or ship["stream"] is None:
        return table(header, [("-", "-", "no", "-", "-", "-")])
    generation = f"{ship['generation']}{'' if ship['complete'] else ', not complete'}" if ship["generation"] else "-"
    counts = ["-" if ship[name] is None else ship[name] for name in ("behind", "unconfirmed")]
    where = f"{ship['stream']} at {readable(str(ship['server']))}" if ship["server"] else ship["stream"]
    return table(header, [(where, ship["source"], "yes" if ship["connected"] else "no", *counts, generation)])


def dead_letter_line(letter: Fields) -> str:
    """A path that was set aside, in one line with its newline."""
    return (
        f"{_when(letter['failed_at'])}  {readable(letter['group'])}  {letter['event_type'] or '-'}  {readable(letter['path'])}: "
        f"{readable(letter['reason'])} ({counted(letter['attempts'], 'attempt')})\n"
    )


def dead_letter_text(letter: Fields) -> str:
    """A path that was set aside, with the end of the output of what has failed."""
    output = "".join(f"    {readable(line)}\n" for line in letter["output"].splitlines())
    return (
        f"{readable(letter['path'])}\n"
        f"  group {readable(letter['group'])}: {letter['event_type'] or 'of a kind that is not known'}\n"
        f"  failed {counted(letter['attempts'], 'time')}, last {_when(letter['failed_at'])}: {readable(letter['reason'])}\n"
        + ("  the end of its output:\n" + output if output else "  there is no output of it\n")
    )


def _when(seconds: float | None) -> str:
    """Local time; of what an earlier version has set aside it is not known."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
