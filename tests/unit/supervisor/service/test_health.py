"""One verdict for every state of a service: what is seen, what it is called, what is said, and the exit code."""

from __future__ import annotations

from typing import Any

import pytest

from shardwatch.supervisor.service.health import Health, examine, program_name

Row = dict[str, Any]


def program(name: str, **changes: Any) -> Row:
    """What supervisord's plugin says of a program that runs."""
    group = name if name in ("aggregator", "coordinator", "ship") else "exec" if name == "lint" else "shards"
    return {
        "group": group, "name": name if group == name else f"{group}:{name}", "state": "RUNNING", "pid": 7, "up_s": 60.0,
        "deaths": 0, "short_lives": 0, "breaker": "closed", "retry_s": 0.0, "hung": 0, "stuck_s": 0.0, "heard": True,
        "started": True, "error": "", **changes,
    }  # fmt: skip


def programs(**changes: Row) -> list[Row]:
    """The five kinds of programs, with what is other about some of them."""
    return [program(name, **changes.get(name, {})) for name in ("aggregator", "s0", "s1", "coordinator", "lint", "ship")]


def engine(**changes: Any) -> Row:
    """What the aggregator says of itself when all is well."""
    shards = [{"id": "s0", "state": "watching"}, {"id": "s1", "state": "watching"}]
    return {"ready": True, "shards": shards, "degraded": [], "holds": [], "notes": [], "storage": None, **changes}


def degraded(state: str, remedy: str = "mend it") -> Row:
    return {"degraded": [{"path": "/r/x", "state": state, "reason": "a reason", "remedy": remedy, "directories": 3}]}


def scanning(state: str) -> Row:
    """A service whose first look is not done."""
    return {"ready": False, "shards": [{"id": "s0", "state": state}, {"id": "s1", "state": "watching"}]}


def held(spent: bool) -> Row:
    return {"holds": [{"name": "/r/.git/index.lock", "kind": "lock", "spent": spent}]}


def shipping(error: str) -> Row:
    return {"group": "g", "error": error, "remedy": "mend it" if error else ""}


def set_aside(count: int) -> list[Row]:
    return [{"name": "g", "parked_paths": count}]


#: Words of a finding.
LATE = (
    "30,000 polled directories are seen within 3 min only, because 5 % of a core does not suffice for 60 s",
    "set poll_cpu_percent to 13 or poll_ms_max higher, or allow more",
)
STOPPED = {"state": "STOPPED", "pid": 0, "heard": False}
WAITING = {"state": "BACKOFF", "pid": 0, "breaker": "waiting", "short_lives": 5, "retry_s": 8.0}
STAND_IN = {"breaker": "stand-in", "short_lives": 6, "retry_s": 30.0}

FULL = {"message": "full", "remedy": "make room"}


def polling(needed: float) -> dict[str, Any]:
    """How 30,000 directories are polled, where that much of a core would be needed."""
    tiers = [{"tier": "active", "directories": 10, "bound_s": 1.0}, {"tier": "quiet", "directories": 29_990, "bound_s": 187.5}]
    return {
        "tiers": tiers, "poll_ms_max": 60_000, "poll_cpu_percent": 5.0, "cpu_percent": 4.9, "needed_percent": needed,
        "for_want_of_watches": 30_000,
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
    ("it is tried again", {"s0": {"breaker": "trying", "short_lives": 5}}, "degraded", ("warning", "tried again since")),
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
    ("a state that is not known here", {"engine": degraded("of a later version")}, "degraded", ("error", "later version")),
    ("the disk is full", {"engine": {**scanning("watching"), "storage": FULL}}, "degraded", ("error", "full;", "make room")),
    ("a hold is spent", {"engine": held(True)}, "degraded", ("warning", "/r/.git/index.lock has held for longer", "remove it")),
    ("batches are held back", {"engine": held(False)}, "healthy", ()),
    ("the index was made anew", {"engine": {"notes": ["it was damaged"]}}, "healthy", ("note", "it was damaged")),
    ("paths were set aside", {"groups": set_aside(2)}, "degraded", ("warning", "group g has set 2 paths aside", "worker")),
    ("no path was", {"groups": set_aside(0)}, "healthy", ()),
    ("ship has just been started", {"ship": {"state": "STARTING", "heard": False}}, "healthy", ()),
    ("ship is stopped", {"ship": STOPPED}, "degraded", ("error", "ship is stopped: nothing is shipped", "start ship")),
    ("all is shipped", {"shipping": shipping("")}, "healthy", ()),
    ("its server is away", {"shipping": shipping("no server")}, "degraded", ("warning", "no server", "the group g", "mend it")),
]
EXIT_CODES = {"healthy": 0, "starting": 0, "degraded": 1, "down": 3}


def verdict(seen: dict[str, Any]) -> Health:
    """The verdict on a service of which some things are other than usual."""
    said = seen.get("engine", {})
    rows = seen.get("programs", programs(**seen))
    told = None if said is None else engine(**said)
    return examine(told, rows, groups=seen.get("groups", ()), ship=seen.get("shipping"), reason="because", state_dir="/s t")


@pytest.mark.parametrize(("seen", "state", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_verdict(seen: dict[str, Any], state: str, words: tuple[str, ...]) -> None:
    """Each thing that can be seen, alone."""
    health = verdict(seen)
    assert (health.state, health.exit_code) == (state, EXIT_CODES[state])
    assert bool(health.findings) is bool(words)
    if words:
        (first, *more) = health.findings
        level, *parts = words
        assert first.level == level and not more, health.findings
        assert all(part in str(first) for part in parts), first


def test_the_gravest_comes_first() -> None:
    """And all are there."""
    doubts = degraded("polled")["degraded"] + degraded("unreadable")["degraded"]
    seen = {"s0": STOPPED, "engine": {"notes": ["n"], "degraded": doubts}}
    assert [finding.level for finding in verdict(seen).findings] == ["error", "error", "warning", "note"]
    assert len(verdict(seen).troubles) == 3


def test_one_trouble_is_one_finding() -> None:
    """A shard that is stopped is silent too: only the former is said. Another shard's silence is."""
    silent = [{"id": "s0", "state": "silent"}, {"id": "s1", "state": "silent"}]
    messages = [finding.message for finding in verdict({"s0": STOPPED, "engine": {"shards": silent}}).findings]
    assert len(messages) == 2 and "s0 is stopped" in messages[0] and "s1 has sent no sign" in messages[1]


def test_remedies_can_be_pasted() -> None:
    """The path of the configuration is quoted for a shell, whatever it holds."""
    (finding,) = verdict({"s0": STOPPED}).findings
    assert finding.remedy == "supervisorctl -c '/s t/supervisord.conf' start shards:s0"


def test_names_are_those_of_supervisorctl() -> None:
    """By the plugin's rows, and by those that were named so already."""
    rows = [{"group": "shards", "name": "s0"}, {"group": "shards", "name": "shards:s0"}, {"group": "a", "name": "a"}]
    assert [program_name(row) for row in rows] == ["shards:s0", "shards:s0", "a"]
