"""Show how PATH... would be divided into shards, and whether this fits the limits of the kernel, and of the container or unit.
Starts and writes nothing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..options import (
    add_config_option,
    add_json_option,
    add_tree_options,
    warn,
    watched_tree,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardwatch.shard.contract.state.planfile import Plan
    from shardwatch.shard.contract.state.settings import Settings

    from ...host.confinement import Confinement, Limit
    from ...planning.limits import InotifyLimits
    from ...planning.needs import ShardNeeds
    from ...planning.plan import PlanResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    add_json_option(parser, "one JSON object (docs/formats.md)")
    add_config_option(parser)


def run(options: argparse.Namespace) -> int:
    from ...planning.limits import read_inotify_limits
    from ...planning.named import with_files
    from ...terminal.render import write_text

    settings = with_files(watched_tree(options).settings)
    _check_roots(settings)
    if settings.local_backend == "fanotify":
        from ...host.scouting import Scouts
        from ...planning.whole import check_fanotify

        with Scouts() as scouts:
            warn(check_fanotify(settings.roots, scouts))
    limits = read_inotify_limits()
    result = plan_of(settings, limits)
    found = facts_of(settings, result, limits)
    warn(_troubles_of(settings, result))
    if options.json:
        from ...terminal.lines import print_json

        print_json(found)
    else:
        write_text(text_of(found))
    return 0


def _troubles_of(settings: Settings, result: PlanResult) -> list[str]:
    """What of the limits of the container or unit, in which this process runs, is too tight for the plan, as `doctor` says it."""
    from ...host.confinement import read_confinement
    from ...planning.needs import troubles

    found = troubles(settings, list(needs_of(result.plan).values()), read_confinement())
    return [f"{message} ({remedy})" for message, remedy in found]


def _check_roots(settings: Settings) -> None:
    """Raises UsageError for the first root that can be neither watched nor waited for."""
    from ...planning.named import is_waited_for, trouble_with, unwatchable

    for root in settings.named():
        trouble = trouble_with(root)
        if trouble and not is_waited_for(root, trouble, settings):
            raise unwatchable(root, trouble)


def plan_of(settings: Settings, limits: InotifyLimits, own: tuple[int, int] = (0, 0)) -> PlanResult:
    """The plan as the coordinator would make it now. `own`: (instances, watches) that the service holds already."""
    from ...planning.limits import budget
    from ...planning.planning import planned, surroundings

    room = budget(limits, own_instances=own[0], own_watches=own[1])
    return planned(settings, room, surroundings(settings), generation=1)


def facts_of(settings: Settings, result: PlanResult, limits: InotifyLimits) -> dict[str, Any]:
    """What `plan --json` prints."""
    from ...host.confinement import read_confinement
    from ...planning.limits import budget, watches_remedy
    from ...planning.whole import rest_by
    from ...terminal.lines import path_fields

    plan = result.plan
    needed = needs_of(plan)
    confinement = read_confinement()
    total = sum(result.weights.values())
    shards = []
    for shard in plan.shards():
        anchors = plan.of(shard)
        shards.append(
            {
                "id": shard,
                "weight": round(result.weights[shard]),
                "share": round(result.weights[shard] / total, 4) if total else 0.0,
                "directories": sum(a.directories for a in anchors),
                "files": sum(a.files for a in anchors),
                "watches": needed[shard].watches,
                "memory_bytes": needed[shard].memory_bytes,
                "scan_s": round(needed[shard].scan_s(settings, len(needed)), 1),
                "backends": sorted({a.backend for a in anchors}),
                "anchors": [
                    {
                        **path_fields(a.path),
                        "backend": a.backend,
                        "directories": a.directories,
                        "files": a.files,
                        "exact": a.exact,
                    }
                    for a in anchors
                ],
            }
        )
    return {
        "format": 1,
        "roots": [path_fields(root) for root in settings.roots],
        "directories": result.directories,
        "files": result.files,
        "exact": result.exact,
        "directories_read": result.looked,
        "balance": round(result.balance, 3),
        "shards": shards,
        "polled_for_want_of_watches": result.over_budget,
        "rest_by": rest_by(settings, settings.roots) if result.over_budget else "",
        "remedy": on_host("sudo " + watches_remedy(limits, result.directories), confinement) if result.over_budget else "",
        "budget": budget_fields(settings, list(needed.values())),
        "allowed": allowed_fields(confinement),
        "limits": {**limits_fields(limits), "watches_for_us": budget(limits).watches_max},
    }


def needs_of(plan: Plan) -> dict[str, ShardNeeds]:
    """What each shard needs, by its id. Pure."""
    from ...planning.needs import ShardNeeds

    found = {}
    for shard in plan.shards():
        anchors = plan.of(shard)
        directories = sum(a.directories for a in anchors)
        watched = sum(a.directories for a in anchors if a.backend == "inotify")
        watches = min(watched, plan.watches.get(shard, watched) or watched)
        found[shard] = ShardNeeds(directories, sum(a.files for a in anchors), watches)
    return found


def budget_fields(settings: Settings, needed: Sequence[ShardNeeds]) -> dict[str, Any]:
    """What the processes need and may take, as the JSON outputs name it. Pure."""
    from ...planning.needs import service_bytes

    return {
        "memory_bytes": service_bytes(needed),
        "memory_mib_max": settings.memory_mib_max,
        "poll_cpu_percent": settings.poll_cpu_percent,
        "verify_cpu_percent": settings.verify_cpu_percent,
        "rescan_files_per_s": settings.rescan_files_per_s,
        "scan_s": round(max((one.scan_s(settings, len(needed)) for one in needed), default=0.0), 1),
        "niceness": settings.niceness,
        "io_class": settings.io_class,
    }


def budget_text(budget: dict[str, Any]) -> str:
    """The same in lines. Pure."""
    from ...terminal.render import duration, size_of

    each = f", {budget['memory_mib_max']:,} MiB allowed for each shard and the aggregator" if budget["memory_mib_max"] else ""
    shares = f"{budget['poll_cpu_percent']:g} % of a core for polling, {budget['verify_cpu_percent']:g} % for the verification"
    nice = f"; niceness {budget['niceness']}" if budget["niceness"] else ""
    lines = [f"memory: about {size_of(budget['memory_bytes'])} for all processes{each}", f"processor: {shares}{nice}"]
    if rate := budget["rescan_files_per_s"]:
        longest = duration(budget["scan_s"])
        lines.append(f"scans: {rate:,} files and directories per second, so one takes up to {longest}")
    return "".join(f"{line}\n" for line in lines)


def allowed_fields(confinement: Confinement) -> dict[str, Any]:
    """What a container or a unit allows, as the JSON outputs name it. Pure."""

    def fields(limit: Limit | None) -> dict[str, Any] | None:
        if limit is None:
            return None
        return {"value": limit.value, "used": limit.used, "file": limit.file, "directory": limit.directory}

    return {
        "by": confinement.by,
        "memory": fields(confinement.memory),
        "processors": fields(confinement.processors),
        "processes": fields(confinement.processes),
        "open_files": confinement.open_files,
    }


def on_host(remedy: str, confinement: Confinement) -> str:
    """The same remedy, with the place where its sysctl is set, if that is not just here: the machine's are shared by all its
    containers, and a user namespace has its own. Pure."""
    if "user.max_" in remedy:
        return f"{remedy} (in the user namespace that allows no more)"
    if not confinement.is_container:
        return remedy
    return f"{remedy} ({'on the node' if confinement.by == 'Kubernetes' else 'on the host'}: no container has its own)"


def allowed_text(allowed: dict[str, Any]) -> str:
    """What a container or a unit allows, in a line; empty if it allows everything. Pure."""
    from ...terminal.render import size_of

    parts = []
    if (memory := allowed["memory"]) is not None:
        parts.append(f"{size_of(int(memory['value']))} of memory ({memory['file']})")
    if (processors := allowed["processors"]) is not None:
        parts.append(f"{processors['value']:g} processors ({processors['file']})")
    if (processes := allowed["processes"]) is not None:
        parts.append(f"{processes['value']:,} processes and threads ({processes['file']})")
    if allowed["open_files"] is not None:
        parts.append(f"{allowed['open_files']:,} open files in a process")
    by = f" by {allowed['by']}" if allowed["by"] else ""
    return f"allowed{by}: {', '.join(parts)}\n" if parts else ""


def limits_fields(limits: InotifyLimits) -> dict[str, int]:
    """inotify's limits as the JSON outputs name them."""
    return {
        "max_user_watches": limits.watches,
        "max_user_instances": limits.instances,
        "max_queued_events": limits.queue,
        "watches_used": limits.watches_used,
        "instances_used": limits.instances_used,
        "processes_unreadable": limits.unreadable,
    }


def text_of(found: dict[str, Any]) -> str:
    """The plan for people. Pure."""
    from ...terminal.render import counted, readable, size_of, table

    about = "" if found["exact"] else "about "
    limits = found["limits"]
    parts = [
        f"{about}{counted(found['files'], 'file')} in {about}{counted(found['directories'], 'directory')}, "
        f"{counted(len(found['shards']), 'shard')}; the heaviest has {(found['balance'] - 1) * 100:.0f} % over the mean\n"
    ]
    header = ("shard", "share", "directories", "files", "watches", "memory", "backend", "subtree")
    rows = []
    for shard in found["shards"]:
        for i, anchor in enumerate(shard["anchors"][:ANCHORS_SHOWN]):
            first = (shard["id"], f"{shard['share'] * 100:.1f} %") if i == 0 else ("", "")
            of_all = (shard["watches"], size_of(shard["memory_bytes"])) if i == 0 else ("", "")
            rows.append((*first, anchor["directories"], anchor["files"], *of_all, anchor["backend"], readable(anchor["path"])))
        if len(shard["anchors"]) > ANCHORS_SHOWN:
            rest = shard["anchors"][ANCHORS_SHOWN:]
            sums = (sum(a["directories"] for a in rest), sum(a["files"] for a in rest))
            rows.append(("", "", *sums, "", "", "", f"and {counted(len(rest), 'subtree')} more (--json shows all)"))
    parts.append(table(header, rows))
    needed = sum(shard["directories"] for shard in found["shards"] if shard["backends"] != ["fanotify"])
    parts.append(
        f"watches: {limits['max_user_watches']:,} allowed, {limits['watches_used']:,} used, "
        f"{limits['watches_for_us']:,} for us, {needed:,} needed\n"
    )
    parts.append(budget_text(found["budget"]))
    parts.append(allowed_text(found["allowed"]))
    if found["polled_for_want_of_watches"]:
        how = "be watched by fanotify" if found["rest_by"] == "fanotify" else "be polled"
        parts.append(
            f"{counted(found['polled_for_want_of_watches'], 'directory')} will {how} because no watches are left\n"
            f"    -> {found['remedy']}\n"
        )
    return "\n".join(part for part in parts if part)


#: Subtrees of a shard that the table for people names.
ANCHORS_SHOWN = 12
