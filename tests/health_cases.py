"""What supervisord and the aggregator say of a service in every state that `service.degradations` lists."""

from __future__ import annotations

from typing import Any

from shardwatch.supervisor.service.health import Health, examine

Row = dict[str, Any]


def program(name: str, **changes: Any) -> Row:
    """What supervisord's plugin says of a program that runs."""
    group = name if name in ("aggregator", "coordinator", "ship", "web") else "exec" if name == "lint" else "shards"
    return {
        "group": group, "name": name if group == name else f"{group}:{name}", "state": "RUNNING", "pid": 7, "up_s": 60.0,
        "deaths": 0, "short_lives": 0, "breaker": "closed", "retry_s": 0.0, "hung": 0, "stuck_s": 0.0, "heard": True,
        "started": True, "error": "", **changes,
    }  # fmt: skip


def programs(**changes: Row) -> list[Row]:
    """The six kinds of programs, with what is other about some of them."""
    return [program(name, **changes.get(name, {})) for name in ("aggregator", "s0", "s1", "coordinator", "lint", "ship", "web")]


def engine(**changes: Any) -> Row:
    """What the aggregator says of itself when all is well."""
    shards = [{"id": "s0", "state": "watching"}, {"id": "s1", "state": "watching"}]
    return {"ready": True, "shards": shards, "degraded": [], "holds": [], "notes": [], "storage": None, **changes}


def degraded(state: str, remedy: str = "mend it") -> Row:
    return {"degraded": [{"path": "/r/x", "state": state, "reason": "a reason", "remedy": remedy, "directories": 3}]}


def scanning(state: str) -> Row:
    """A service whose first look is not done."""
    return {"ready": False, "shards": [{"id": "s0", "state": state}, {"id": "s1", "state": "watching"}]}


def held(spent: bool, kind: str = "lock") -> Row:
    return {"holds": [{"name": "/r/.git/index.lock", "kind": kind, "spent": spent}]}


def overflowing(pause_ms: int) -> Row:
    return {"shards": [{"id": "s0", "state": "watching", "rescan_pause_ms": pause_ms}, {"id": "s1", "state": "watching"}]}


def verified(findings: int) -> Row:
    return {"verification": {"findings": findings}}


def shipping(error: str) -> Row:
    return {"group": "g", "error": error, "remedy": "mend it" if error else ""}


def memory(state: str, mib: int = 130, *, name: str = "shards:s0", cap: int = 100) -> Row:
    """Where each program may have so many MiB, `cap`."""
    row = {"name": name, "bytes": mib << 20, "needed_bytes": mib << 20, "state": state}
    return {"memory": {"mib_max": cap, "programs": [row]}}


def refused(what: str) -> Row:
    return {"priority": {"refused": what, "remedy": "allow it"}}


def set_aside(count: int) -> list[Row]:
    return [{"name": "g", "parked_paths": count}]


def pending(**fields: Any) -> list[Row]:
    return [{"name": "g", "backlog": 0, **fields}]


#: Words of a finding.
LATE = (
    "30,000 polled directories are seen within 3 min only, because 5 % of a core does not suffice for 60 s",
    "set poll_cpu_percent to 13, set poll_ms_max higher, or allow more watches",
)
STOPPED = {"state": "STOPPED", "pid": 0, "heard": False}
WAITING = {"state": "BACKOFF", "pid": 0, "breaker": "waiting", "short_lives": 5, "retry_s": 8.0}
STAND_IN = {"breaker": "stand-in", "short_lives": 6, "retry_s": 30.0}

FULL = {"message": "full", "remedy": "make room"}


def polling(needed: float, poll_ms_max: int = 60_000, unwatched: int = 30_000) -> dict[str, Any]:
    """How 30,000 directories are polled, so many for want of watches, where that much of a core would be needed."""
    tiers = [{"tier": "active", "directories": 10, "bound_s": 1.0}, {"tier": "quiet", "directories": 29_990, "bound_s": 187.5}]
    return {
        "tiers": tiers, "poll_ms_max": poll_ms_max, "poll_cpu_percent": 5.0, "cpu_percent": 4.9, "needed_percent": needed,
        "for_want_of_watches": unwatched,
    }  # fmt: skip


#: What is seen, and the verdict; of the one finding its level, and words of it and of its remedy.
CASES: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    ("all is well", {}, "healthy", ()),
    ("supervisord calls it starting, and it gives signs of life", {"s0": {"state": "STARTING"}}, "healthy", ()),
    ("it has just been started", {"s0": {"state": "STARTING", "heard": False}}, "starting", ()),
    ("it has not been started yet", {"s0": {**STOPPED, "started": False}}, "starting", ()),
    ("a command of the configuration has just been started", {"lint": {"state": "STARTING", "heard": False}}, "healthy", ()),
    ("it is stopped", {"lint": STOPPED}, "degraded", ("error", "exec:lint is stopped", "its group wait", "start exec:lint")),
    ("it ends again and again", {"lint": WAITING}, "degraded", ("error", "exec:lint died 5 times", "logs/exec-lint.log")),
    ("the first scan", {"engine": scanning("scanning")}, "starting", ()),
    ("a shard that has not been heard yet", {"engine": scanning("absent")}, "starting", ()),
    ("a shard is stopped", {"s0": STOPPED}, "degraded", ("error", "s0 is stopped", "not seen", "start shards:s0")),
    ("it is stopped, and waited for", {"s0": STOPPED, "engine": scanning("absent")}, "degraded", ("error", "s0 is stopped")),
    ("the coordinator is stopped", {"coordinator": STOPPED}, "degraded", ("error", "coordinator is stopped", "no plan")),
    ("a shard is started again", {"s0": {"state": "EXITED"}}, "degraded", ("error", "does not run (exited)")),
    ("a shard crashes again and again", {"s0": STAND_IN}, "degraded", ("warning", "died 6 times", "stand-in", "restart")),
    ("both say so", {"s0": STAND_IN, "engine": degraded("stand-in")}, "degraded", ("warning", "died 6 times in a row")),
    ("its stand-in crashes too", {"s0": WAITING}, "degraded", ("error", "nothing runs in its place", "logs/shard-s0.log")),
    ("it is tried again", {"s0": {"breaker": "trying", "short_lives": 5}}, "degraded", ("warning", "tried again 60 s ago")),
    ("it is stuck in the kernel", {"s0": {"stuck_s": 70.0}}, "degraded", ("error", "stuck in the kernel", "hangs")),
    ("it is silent", {"engine": {"shards": [{"id": "s0", "state": "silent"}]}}, "degraded", ("error", "s0 has sent no sign")),
    ("it runs other code", {"engine": scanning("other version")}, "degraded", ("error", "another version", "`shardwatch up`")),
    ("the aggregator is stopped", {"aggregator": STOPPED, "engine": None}, "down", ("error", "is stopped", "start aggregator")),
    ("the aggregator crashes", {"aggregator": WAITING, "engine": None}, "down", ("error", "died 5", ": because", "logs")),
    ("the aggregator hangs", {"engine": None}, "down", ("error", "does not answer: because", "logs/aggregator.log")),
    ("nobody answers", {"programs": [], "engine": None}, "down", ("error", "does not answer: because")),
    ("supervisord hangs", {"programs": []}, "degraded", ("error", "supervisord does not answer", "supervisord.log")),
    ("no watches are left", {"engine": degraded("polled")}, "degraded", ("warning", "3 directories polled", "mend it")),
    ("fanotify watches the rest", {"engine": degraded("fanotify")}, "healthy", ("note", "3 directories watched by fanotify")),
    ("polling was asked for", {"engine": degraded("polled", "")}, "healthy", ("note", "3 directories polled")),
    ("polling is late", {"engine": {"polling": polling(12.3)}}, "degraded", ("warning", *LATE)),
    ("polling keeps its time", {"engine": {"polling": polling(5.0)}}, "healthy", ()),
    ("a directory can't be read", {"engine": degraded("unreadable")}, "degraded", ("error", "unreadable (/r/x)")),
    ("a root is gone", {"engine": degraded("missing")}, "degraded", ("error", "missing")),
    ("a root is not mounted", {"engine": degraded("unmounted")}, "degraded", ("error", "unmounted")),
    ("links were left out", {"engine": degraded("not followed")}, "degraded", ("warning", "not followed")),
    ("/proc is mounted below a root", {"engine": degraded("virtual", "")}, "healthy", ("note", "3 directories not watched")),
    ("a state that is not known here", {"engine": degraded("of a later version")}, "degraded", ("error", "later version")),
    ("the disk is full", {"engine": {**scanning("watching"), "storage": FULL}}, "degraded", ("error", "full;", "make room")),
    ("a hold is spent", {"engine": held(True)}, "degraded", ("warning", "/r/.git/index.lock has held for longer", "remove it")),
    ("batches are held back", {"engine": held(False)}, "healthy", ("note", "held back by /r/.git/index.lock", "release")),
    ("a hold by hand is spent", {"engine": held(True, "name")}, "degraded", ("warning", "held for longer", "hold_ms_max")),
    ("directories are nested too deeply", {"engine": degraded("too deep", "")}, "degraded", ("error", "too deep", "less deeply")),
    ("a filesystem hangs", {"engine": degraded("unanswered")}, "degraded", ("error", "unanswered", "mend it")),
    ("inotify watches what fanotify can't", {"engine": degraded("inotify", "")}, "healthy", ("note", "watched by inotify, not")),
    ("the index was made anew", {"engine": {"notes": ["it was damaged"]}}, "healthy", ("note", "it was damaged")),
    ("no file is watched", {"engine": {"nothing_watched": "none is there"}}, "healthy", ("note", "none is there", "explain")),
    ("paths were set aside", {"groups": set_aside(2)}, "degraded", ("warning", "group g has set 2 paths aside", "worker")),
    ("no path was", {"groups": set_aside(0)}, "healthy", ()),
    ("ship has just been started", {"ship": {"state": "STARTING", "heard": False}}, "healthy", ()),
    ("ship is stopped", {"ship": STOPPED}, "degraded", ("error", "ship is stopped: nothing is shipped", "start ship")),
    ("all is shipped", {"shipping": shipping("")}, "healthy", ()),
    ("its server is away", {"shipping": shipping("no server")}, "degraded", ("warning", "no server", "the group g", "mend it")),
    ("web has just been started", {"web": {"state": "STARTING", "heard": False}}, "healthy", ()),
    ("web is stopped", {"web": STOPPED}, "degraded", ("error", "web is stopped: the web page and the metrics", "start web")),
    ("the page is served", {"page": {"error": "", "remedy": ""}}, "healthy", ()),
    ("its port is taken", {"page": {"error": "taken", "remedy": "move"}}, "degraded", ("warning", "not served: taken", "move")),
    ("a shard overflows again and again", {"engine": overflowing(4_000)}, "degraded", ("warning", "s0", "4 s late", "queued")),
    (
        "a shard needs too much", {"engine": memory("needs more")}, "degraded",
        ("warning", "needs 130 MiB", "max to 208, use 2 shards, or exclude"),
    ),
    ("a shard has too much", {"engine": memory("over")}, "healthy", ("note", "has 130 MiB", "started again")),
    ("a shard has what it may have", {"engine": memory("within", 90)}, "healthy", ()),
    ("a priority is refused", {"engine": refused("no -5")}, "degraded", ("warning", "no -5", "allow it")),
    ("it is not", {"engine": refused("")}, "healthy", ()),
    ("it overflowed once", {"engine": overflowing(0)}, "healthy", ()),
    ("the verification found something", {"engine": verified(2)}, "healthy", ("note", "2 changes without a hint", "noticing")),
    ("it found nothing", {"engine": verified(0)}, "healthy", ()),
    ("batches come again", {"groups": pending(retrying=3)}, "healthy", ("note", "3 paths of group g", "come again", "lease_ms")),
    ("a group is behind", {"groups": pending(backlog=7, oldest_pending_s=1200.0)}, "healthy", ("note", "7 paths", "20 min ago")),
    ("it is not behind", {"groups": pending(backlog=7, oldest_pending_s=900.0)}, "healthy", ()),
]


def verdict(seen: dict[str, Any]) -> Health:
    """The verdict on a service of which some things are other than usual."""
    said = seen.get("engine", {})
    rows = seen.get("programs", programs(**seen))
    told = None if said is None else engine(**said)
    groups, shipped = seen.get("groups", ()), seen.get("shipping")
    return examine(told, rows, groups=groups, ship=shipped, web=seen.get("page"), reason="because", state_dir="/s t")
