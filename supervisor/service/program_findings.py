"""What is wrong with the programs of a service, by what supervisord's plugin says of them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Final

from ..terminal.render import counted, duration
from ..terminal.tables import Fields
from .finding import HealthFinding

#: supervisord's groups of the programs of the configuration (`plugin.names`).
EXEC: Final = "exec"
SHIP: Final = "ship"
WEB: Final = "web"


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
            reason, message, remedy = found
            yield HealthFinding(("program", name.removeprefix("shards:")), reason, message, remedy)


def _program(row: Fields, name: str, log: str, control: str) -> tuple[str, str, str] | None:
    """(reason, message, remedy) for one program, None where all is well."""
    if float(row["stuck_s"]):
        message = f"{name} (pid {row['pid']}) was killed {duration(row['stuck_s'])} ago and still exists: stuck in the kernel"
        remedy = "look for a disk or a network filesystem that hangs; it is not replaced until it is gone"
        return "program_stuck", message, remedy
    if row["breaker"] != "closed":
        message = f"{name} died {counted(int(row['short_lives']), 'time')} in a row, {_BREAKERS[row['breaker']](row)}"
        remedy = f"see {log}; `{control} restart {name}` tries it at once"
        return _REASONS[row["breaker"]], message, remedy
    if row["state"] in ("STOPPED", "STOPPING") and row.get("started", True):
        return "program_stopped", f"{name} is stopped: {_meanwhile(name)}", f"{control} start {name}"
    if row["state"] in ("RUNNING", "STARTING", "STOPPED"):
        return None
    message = f"{name} does not run ({str(row['state']).lower()}): {_meanwhile(name)}"
    return "program_restarting", message, f"it is restarted automatically; if this continues, see {log}"


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
    if name == WEB:
        return "the web page and the metrics are not served"
    return "changes in its subtrees are not seen until it runs"


_REASONS: Final = {"stand-in": "stand_in", "waiting": "program_crashes", "trying": "program_tried"}
_BREAKERS: Final = {
    "stand-in": lambda row: f"a stand-in sweeps its subtrees; tried again after {duration(row['retry_s'])}",
    "waiting": lambda row: f"nothing runs in its place; tried again in {duration(row['retry_s'])}",
    "trying": lambda row: f"tried again {duration(row['up_s'])} ago",
}
