"""Check whether PATH... can be watched: limits, filesystems, permissions and versions. Each finding comes with its remedy.

Without PATH and without a state directory, a service that watches something here is checked with the machine. Without PATH, what
it needs is judged by the settings and the plan with which it runs.

Exit code 0: all is well. 1: something needs your attention; the lines that begin with `!` say what it is, and what to do.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import STATE_DIR

from ..options import (
    add_config_option,
    add_json_option,
    add_state_dir_option,
    add_tree_options,
    resolve_tree,
)

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.settings import Settings

    from ...config.resolve import Resolved
    from ...planning.limits import InotifyLimits
    from ...planning.needs import ShardNeeds

#: A queue shorter than the kernel's own default overflows in bursts that every build makes.
QUEUE_MIN = 16_384
#: Filesystems that are not watched below a root.
_MADE_UP = "{:,} mounted filesystems are not watched, because the kernel makes them up, as /proc"
#: Free bytes that the databases may need at once: an index of 100,000 files, and its log.
FREE_MIN = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    add_json_option(parser, "one JSON object (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from ...terminal.render import write_text

    found = examine(_about_a_service(resolve_tree(options)))
    if options.json:
        from ...terminal.lines import print_json

        print_json(found)
    else:
        write_text(text_of(found))
    return 0 if found["ok"] else 1


def _about_a_service(resolved: Resolved) -> Resolved:
    """Without roots and without a state directory, the checks are about the service that watches something here, as `status` is;
    where there is none, or several are, about the machine."""
    from ..link.nearby import service_about

    if resolved.settings.roots or resolved.origins[STATE_DIR.name] != "default":
        return resolved
    with contextlib.suppress(OSError, UsageError):
        return resolved._replace(state_dir=service_about(resolved.state_dir, os.getcwdb()) or resolved.state_dir)
    return resolved


def examine(resolved: Resolved) -> dict[str, Any]:
    """What `doctor --json` prints. Reads the trees as far as planning does; changes nothing."""
    from shardwatch.shard.compiled.choice import STATE

    from ...host.scouting import check_state_dir
    from ...planning.limits import read_inotify_limits
    from .plan import budget_fields

    check_state_dir(resolved.state_dir)
    limits = read_inotify_limits(_user_of_service(resolved.state_dir))
    findings: list[dict[str, str]] = []
    roots = [examine_root(root, resolved.settings, findings) for root in resolved.settings.roots]
    needed = needs(resolved.settings, [r["readable"] for r in roots], limits, resolved.state_dir, findings)
    examine_queue(limits, findings)
    state_dir = examine_state_dir(resolved.state_dir, findings)
    settings, shards = resolved.settings, needed.pop("shards", [])
    if state_dir["running"] and not settings.roots:
        settings, shards = _served(resolved)
    allowed = examine_allowed(settings, shards, state_dir["running"], resolved.state_dir, findings)
    health, service = examine_service(resolved.state_dir, findings) if state_dir["running"] else (None, None)
    return {
        "format": 1,
        "ok": not findings,
        "health": health,
        "service": service,
        "findings": findings,
        "limits": needed,
        "budget": budget_fields(settings, shards),
        "allowed": allowed,
        "roots": roots,
        "state_dir": state_dir,
        "native_code": STATE,
        "versions": versions(findings),
    }


def _served(resolved: Resolved) -> tuple[Settings, list[ShardNeeds]]:
    """The settings with which a service runs, and what the shards of its plan need: of one that is asked about without roots. If
    they can't be read, those of a service that would be started."""
    import msgspec

    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.planfile import read_plan
    from shardwatch.shard.contract.state.settings import read_settings

    from .plan import needs_of

    layout = Layout(resolved.state_dir)
    try:
        settings, plan = read_settings(layout.settings), read_plan(layout.plan)
    except (OSError, UsageError, msgspec.MsgspecError):
        return resolved.settings, []
    return settings, [] if plan is None else list(needs_of(plan).values())


def note(findings: list[dict[str, str]], message: str, remedy: str) -> None:
    from ...terminal.lines import valid

    findings.append({"message": valid(message), "remedy": valid(remedy)})


def examine_root(root: bytes, settings: Settings, findings: list[dict[str, str]]) -> dict[str, Any]:
    """The filesystem below one root, and how it will be watched."""
    from ...planning.limits import filesystem
    from ...planning.named import is_waited_for, trouble_with, unwatchable
    from ...planning.planning import backend_of
    from ...terminal.lines import path_fields

    kind, remote = filesystem(root)
    trouble = trouble_with(root)
    if trouble and not is_waited_for(root, trouble, settings):
        refusal = unwatchable(root, trouble)
        note(findings, refusal.message, refusal.hint)
    backend = backend_of(settings, lambda path: remote)(root)
    if backend == "fanotify" and not trouble:
        backend = examine_whole(root, findings)
    if remote and settings.backend != "polling":
        note(
            findings,
            f"root {os.fsdecode(root)} is on {kind}: changes made elsewhere raise no event there, so it is polled",
            "run shardwatch where the files are, or accept that changes are seen when they are looked for (poll_ms_max)",
        )
    return {
        **path_fields(root),
        "filesystem": kind,
        "polled": backend == "polling",
        "backend": backend,
        "readable": not trouble,
        "made_up": 0 if trouble else len(made_up_below(root)),
    }


def made_up_below(root: bytes) -> list[bytes]:
    """Where filesystems that the kernel makes up are mounted below a root; they are not watched."""
    from shardwatch.shard.contract.kernel.mounts import read_mounts
    from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts

    return VirtualMounts(StillTable(read_mounts()), [root]).all_below()


def examine_whole(root: bytes, findings: list[dict[str, str]]) -> str:
    """How a root is watched with the backend `fanotify`: what its filesystem does not allow is done by inotify."""
    from ...host.scouting import Scouts
    from ...planning.whole import obstacles

    with Scouts() as scouts:
        found = obstacles([root], scouts)
    for why, everywhere in found.values():
        instead = "" if everywhere else "; inotify watches it instead"
        remedy = why.remedy if everywhere else "use the backend auto, or put the tree on ext4, xfs, tmpfs, or the top of a btrfs"
        note(findings, f"root {os.fsdecode(root)} can't be watched with fanotify: {why.what}{instead}", remedy)
    return "inotify" if any(not everywhere for _, everywhere in found.values()) else "fanotify"


def needs(
    settings: Settings, readable: Sequence[bool], limits: InotifyLimits, state_dir: Path, findings: list[dict[str, str]]
) -> dict[str, Any]:
    """inotify's limits: allowed, used, needed by these roots, and whether that fits."""
    import msgspec

    from ...host.confinement import read_confinement
    from ...planning.limits import budget, instances_remedy, watches_remedy
    from ...planning.named import with_files
    from ...planning.whole import rest_by
    from ...terminal.render import counted, duration
    from .plan import limits_fields, needs_of, on_host, plan_of

    roots = tuple(root for root, good in zip(settings.roots, readable, strict=True) if good)
    fields: dict[str, Any] = limits_fields(limits)
    own = holdings(state_dir)
    room = budget(limits, own_instances=own[0], own_watches=own[1])
    fields.update({"used_by_this_service": {"instances": own[0], "watches": own[1]}, "watches_for_us": room.watches_max})
    if not limits.exists and settings.local_backend == "inotify" and sys.platform.startswith("linux"):
        note(findings, "inotify is not available here", "use --backend polling")
    if roots:
        result = plan_of(with_files(msgspec.structs.replace(settings, roots=roots)), limits, own)
        by_inotify = settings.local_backend != "fanotify"
        # With hold_for_vcs each shard has another one, for lock files.
        instances = len(result.plan.shards()) * (by_inotify + settings.hold_for_vcs)
        watches = result.directories if by_inotify else 0
        fields.update({"watches_needed": watches, "needed_is_exact": result.exact, "instances_needed": instances})
        fields["rest_by"] = rest_by(settings, roots) if result.over_budget else ""
        fields["shards"] = list(needs_of(result.plan).values())
        if fields["rest_by"] == "polling":
            note(
                findings,
                f"{result.directories:,} directories need a watch each, {room.watches_max:,} are left of "
                f"{limits.watches:,}: the rest will be polled, and changes there seen within "
                f"{duration(settings.poll_ms_max / 1000)} if {settings.poll_cpu_percent:g} % of a core suffices for that",
                on_host("sudo " + watches_remedy(limits, result.directories), read_confinement()),
            )
        left = limits.instances - max(0, limits.instances_used - own[0])
        if limits.exists and instances > left:
            remedy = on_host("sudo " + instances_remedy(limits, instances), read_confinement())
            needed = counted(instances, "inotify instance")
            note(findings, f"{needed} needed, {max(0, left)} left of {limits.instances}: what has none is polled", remedy)
    return fields


def holdings(state_dir: Path) -> tuple[int, int]:
    """(instances, watches) that the service in `state_dir` holds already, if one runs: they are not used up for it."""
    from shardwatch.shard.contract.kernel.usage import held_by
    from shardwatch.shard.contract.state.layout import Layout

    from ...service import service

    layout = Layout(state_dir)
    held = [held_by(int(p["pid"])) for p in service.programs(layout) if p["pid"]] if service.running(layout) else []
    return sum(i for i, _ in held), sum(w for _, w in held)


def _user_of_service(state_dir: Path) -> int | None:
    """Whose service runs in `state_dir`, which root may ask about: the limits of inotify are that user's. None: none runs there,
    and one that is started is ours."""
    from shardwatch.shard.contract.state.layout import Layout

    from ...service import service

    return state_dir.stat().st_uid if service.running(Layout(state_dir)) else None


def examine_allowed(
    settings: Settings, shards: list[ShardNeeds], running: bool, state_dir: Path, findings: list[dict[str, str]]
) -> dict[str, Any]:
    """What a container or a unit allows the service that runs in `state_dir`, otherwise this process; and whether it suffices."""
    from shardwatch.shard.contract.process.priority import try_priority
    from shardwatch.shard.contract.state.layout import Layout

    from ...host.confinement import read_confinement
    from ...planning.needs import troubles
    from ...service import service
    from .plan import allowed_fields

    pids = [int(row["pid"]) for row in service.programs(Layout(state_dir)) if row["pid"]] if running else []
    confinement = read_confinement(pids[0] if pids else "self")
    found = [*troubles(settings, shards, confinement)]
    if not running:  # else the service itself tells what was refused
        refused = try_priority(settings)
        found += [(refused.what, refused.remedy)] if refused.what else []
    for message, remedy in found:
        note(findings, message, remedy)
    return allowed_fields(confinement)


def examine_queue(limits: InotifyLimits, findings: list[dict[str, str]]) -> None:
    if limits.available and limits.queue < QUEUE_MIN:
        note(
            findings,
            f"max_queued_events is {limits.queue:,}: bursts overflow it, and each overflow costs a rescan",
            f"sudo sysctl -w fs.inotify.max_queued_events={QUEUE_MIN}",
        )


def examine_state_dir(state_dir: Path, findings: list[dict[str, str]]) -> dict[str, Any]:
    """Where the service keeps, or would keep, its state."""
    from shardwatch.shard.contract.state.layout import Layout

    from ...planning.limits import filesystem
    from ...service import service
    from ...service.state_dir import check_usable
    from ...terminal.lines import path_fields

    layout = Layout(state_dir)
    running = service.running(layout)
    at = next(p for p in (state_dir, *state_dir.parents) if p.exists())
    writable = os.access(at, os.W_OK | os.X_OK)
    try:
        if not running:  # else it may be another user's, whose service root may ask about
            check_usable(layout)
        if not writable:
            note(findings, f"{at} can't be written", "give another --state-dir")
    except UsageError as refusal:
        note(findings, refusal.message, refusal.hint)
    kind, remote = filesystem(os.fsencode(state_dir))
    if remote:
        note(
            findings,
            f"the state directory is on {kind}: SQLite's locks and sockets need a local disk",
            "give another --state-dir",
        )
    free = os.statvfs(at)
    if free.f_bavail * free.f_frsize < FREE_MIN:
        note(findings, f"the disk of the state directory {state_dir} is nearly full", "free some space there")
    for aside in sorted(layout.state_dir.glob("*.damaged-[0-9]*")):
        if not aside.name.endswith(("-wal", "-shm", "-redo")):
            note(findings, f"{aside} was damaged and set aside", "check that disk; then remove the file, which is not needed")
    return {
        **path_fields(os.fsencode(state_dir)),
        "exists": state_dir.exists(),
        "writable": writable,
        "running": running,
        "filesystem": kind,
        "free_bytes": free.f_bavail * free.f_frsize,
    }


def examine_service(state_dir: Path, findings: list[dict[str, str]]) -> tuple[str, dict[str, Any] | None]:
    """The verdict on the service that runs there (`service.health`); whatever it needs attention for becomes a finding. And how
    many directories it watches, polls and can't read, if that is known.
    """
    from shardwatch.shard.contract.state.layout import Layout

    from ...service import checkup

    seen = checkup.examine(Layout(state_dir))
    for finding in seen.health.troubles:
        note(findings, finding.message, finding.remedy)
    if seen.engine is None:
        return seen.health.state, None
    shards = seen.engine.get("shards") or []
    sums = {field: sum(int(shard.get(field) or 0) for shard in shards) for field in ("watches", "polled", "unreadable")}
    made_up = sum(int(one["directories"]) for one in seen.engine.get("degraded") or [] if one["state"] == "virtual")
    return seen.health.state, {**sums, "made_up": made_up, "polling": seen.engine.get("polling")}


def versions(findings: list[dict[str, str]]) -> dict[str, str]:
    """What runs here, by the installed packages' own word."""
    import platform
    import sqlite3
    from importlib import metadata

    from shardwatch.shard.contract.version import __version__

    found = {
        "shardwatch": __version__,
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "sqlite": sqlite3.sqlite_version,
    }
    for package in ("supervisor", "pyzmq", "msgspec", "pydantic", "watchdog", "rich"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
            note(findings, f"{package} is not installed", "install shardwatch with its dependencies")
    return found


def text_of(found: dict[str, Any]) -> str:
    """The findings for people. Pure."""
    from ...terminal.render import counted, readable, size_of, table
    from ...terminal.tables import polling_text
    from .plan import allowed_text, budget_text

    limits = found["limits"]
    about = "" if limits.get("needed_is_exact", True) else "about "
    rows = [
        ("inotify watches", limits["max_user_watches"], limits["watches_used"], about + _number(limits.get("watches_needed"))),
        ("inotify instances", limits["max_user_instances"], limits["instances_used"], _number(limits.get("instances_needed"))),
        ("inotify queue", limits["max_queued_events"], "-", "-"),
    ]
    parts = [table(("limit", "allowed", "used", "needed"), rows)]
    if limits.get("rest_by") == "fanotify":
        left = limits["watches_for_us"]
        parts.append(f"{left:,} watches are left; fanotify watches the directories beyond, with one mark for each filesystem\n")
    if limits["processes_unreadable"]:
        parts.append(f"({limits['processes_unreadable']} processes of this user can't be read; what they hold is not counted)\n")
    parts.append(budget_text(found["budget"]) + allowed_text(found["allowed"]))
    parts.append(
        table(
            ("root", "filesystem", "backend"),
            [(readable(r["path"]), r["filesystem"], r["backend"] if r["readable"] else "-") for r in found["roots"]],
        )
    )
    parts += [f"below {readable(r['path'])}: {_MADE_UP.format(r['made_up'])}\n" for r in found["roots"] if r["made_up"]]
    state = found["state_dir"]
    word = f"a service runs there, {found['health']}" if state["running"] else "no service runs there"
    parts.append(
        f"state directory {readable(state['path'])} ({state['filesystem']}, {size_of(state['free_bytes'])} free): {word}\n"
    )
    if (service := found["service"]) is not None:
        parts.append(
            f"{counted(service['watches'], 'watch')}, {counted(service['polled'], 'directory')} polled, "
            f"{service['unreadable']:,} unreadable{_not_watched(service['made_up'])}\n" + polling_text(service["polling"])
        )
    parts.append(", ".join(f"{name} {version}" for name, version in found["versions"].items()) + "\n")
    parts.append(f"native code: {found['native_code']}\n")
    parts.append(
        "".join(f"! {readable(f['message'])}\n    -> {readable(f['remedy'])}\n" for f in found["findings"]) or "all is well\n"
    )
    return "\n".join(part for part in parts if part)


def _not_watched(count: int) -> str:
    return f"; {_MADE_UP.format(count)}" if count else ""


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
