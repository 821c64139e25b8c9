"""Decides whether a service is healthy. Everything that reports the health of a service uses this module.

What can be wrong is listed in `degradations`, and found by `program_findings` and `engine_findings`. This module does no input
or output. It is given what supervisord says about its programs and what the aggregator says about the engine. It returns a
verdict with its reasons, and for each of them a remedy. `status`, `doctor`, `pull`, `up`, `watch`, waiting for readiness, and
their exit codes all depend on it (docs/health.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ..terminal.tables import Fields
from .engine_findings import (
    SILENT,
    engine_findings,
    group_findings,
    hold_findings,
    ship_findings,
    verification_findings,
    web_findings,
)
from .finding import HealthFinding
from .program_findings import EXEC, SHIP, WEB, program_findings

State = Literal["healthy", "degraded", "starting", "down"]
#: Exit codes of `status` and `doctor`, by state. `starting` needs no attention.
EXIT_CODES: Final[Mapping[State, int]] = {"healthy": 0, "starting": 0, "degraded": 1, "down": 3}


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
    web: Fields | None = None,
    reason: str = "",
    state_dir: str = "STATE_DIR",
) -> Health:
    """Decides on the health of a service that exists (its lock is held).

    Args:
        engine: what the aggregator's `status` says; None: it does not answer.
        programs: what supervisord's plugin says of each program (`service.programs`); empty: supervisord does not answer.
        groups: as in `groups list`; which of them have set paths aside.
        ship: what is shipped (`service.shipping`).
        web: where the page is served (`service.web_page`).
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
            found.append(HealthFinding(SILENT, "aggregator_silent", message, f"see {state_dir}/logs/aggregator.log"))
        return Health("down", _sorted(found))
    if not programs:
        message, remedy = "supervisord does not answer: what dies is not restarted", f"see {state_dir}/logs/supervisord.log"
        found.append(HealthFinding(("supervisord",), "supervisord_silent", message, remedy))
    # What supervisord knows of a program is more than that its shard is silent, or has a stand-in.
    standing_in = any(row["breaker"] == "stand-in" for row in programs)
    found += [finding for finding in engine_findings(engine) if not _is_reported(finding, reported, standing_in)]
    found += hold_findings(engine)
    found += verification_findings(engine)
    found += group_findings(groups)
    found += ship_findings(ship)
    found += web_findings(web)
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
    return row["group"] not in (EXEC, SHIP, WEB) and bool(row["state"] in ("STOPPED", "STARTING") and not row.get("heard"))


def _sorted(findings: Iterable[HealthFinding]) -> tuple[HealthFinding, ...]:
    grave = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda finding: grave[finding.level]))
