"""The status of a service as an object of JSON: what `status --json` prints, and what the web page and the metrics are made of.
Pure. docs/formats.md describes it.
"""

from __future__ import annotations

from typing import Any

from ..terminal.lines import valid
from .checkup import Checkup
from .health import Health


def status_object(state_dir: str, seen: Checkup) -> dict[str, Any]:
    """All that was seen of one service, with the verdict."""
    found: dict[str, Any] = {
        "format": 1,
        "state_dir": valid(state_dir),
        "health": seen.health.state,
        "findings": findings_object(seen.health),
        "processes": seen.processes,
        "answering": seen.engine is not None,
        "engine": seen.engine,
        "groups": seen.groups,
        "ship": seen.ship,
        "web": seen.web,
    }
    if seen.engine is None:
        found["reason"] = valid(seen.reason)
    return found


def findings_object(health: Health) -> list[dict[str, str]]:
    """The findings of a verdict, the gravest first."""
    return [
        {"reason": f.reason, "level": f.level, "message": valid(f.message), "remedy": valid(f.remedy)} for f in health.findings
    ]
