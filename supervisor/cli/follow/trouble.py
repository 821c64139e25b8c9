"""Reports what is wrong with a running service, each problem once: it compares what `service.health` finds in a status
with the previous one.

Does no input or output. The status is the reply to the `status` request of the extract protocol (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...service.engine_findings import SILENT, STORAGE, engine_findings
from ...service.finding import HealthFinding
from ...terminal.lines import status_object


class Trouble:
    """Remembers what has been reported; gives the lines for what appeared, changed or ended since."""

    def __init__(self) -> None:
        self._reported: dict[tuple[str, ...], HealthFinding] = {}

    def __bool__(self) -> bool:
        """Whether anything was wrong at the last call."""
        return bool(self._reported)

    def lines(self, status: Mapping[str, Any]) -> list[dict[str, str]]:
        """Status lines for the difference to the last call, errors first; empty where nothing changed."""
        now = {finding.key: finding for finding in engine_findings(status)}
        if SILENT in now or STORAGE in now:
            now = {**self._reported, **now}  # what else is wrong can't be known
        lines = []
        for key, finding in now.items():
            before = self._reported.get(key)
            if before is None or finding.differs(before):
                lines.append(status_object(_level(finding), finding.message, finding.remedy))
            else:
                now[key] = before  # small steps add up to a change worth telling
        lines += [status_object("warning", f"over: {f.message}") for key, f in self._reported.items() if key not in now]
        self._reported = now
        return sorted(lines, key=lambda line: line["level"])


def _level(finding: HealthFinding) -> str:
    """A line has two levels (docs/formats.md): what needs nobody's attention is said as a warning."""
    return "error" if finding.level == "error" else "warning"
