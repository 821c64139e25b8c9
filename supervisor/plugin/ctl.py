"""`supervisorctl shards`: prints what supervisord knows about every program, one line for each. Runs inside supervisorctl.
"""

from __future__ import annotations

import xmlrpc.client
from typing import Any

from supervisor.supervisorctl import Controller, ControllerPluginBase, LSBInitExitStatuses


class ShardsCtl(ControllerPluginBase):
    """Adds the command to supervisorctl's shell. Method names are supervisorctl's convention."""

    name = "shards"

    def __init__(self, controller: Controller) -> None:
        self.ctl = controller

    def do_shards(self, arg: str) -> None:
        """shards [NAME ...]\tstate, pid, uptime, deaths in the last minute, breaker, time to the next try"""
        if not self.ctl.upcheck():
            return
        try:
            rows: Any = self.ctl.get_server_proxy("shards").status()
        except xmlrpc.client.Fault as fault:
            self.ctl.output(f"ERROR ({fault.faultString})")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
            return
        wanted = {name.removeprefix("shards:") for name in arg.split()}
        unknown = wanted - {row["name"] for row in rows}
        for row in rows:
            if not wanted or row["name"] in wanted:
                self.ctl.output(_line(row))
        for name in sorted(unknown):
            self.ctl.output(f"{name}: ERROR (no such program)")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC

    def help_shards(self) -> None:
        self.ctl.output(str(self.do_shards.__doc__))


def _line(row: dict[str, Any]) -> str:
    full = row["name"] if row["group"] == row["name"] else f"{row['group']}:{row['name']}"
    parts = [f"{full:<32} {row['state']:<9}"]
    if row["pid"]:
        parts.append(f"pid {row['pid']}, up {row['up_s']:.1f} s")
    if row["deaths"]:
        parts.append(f"{row['deaths']} deaths in the last minute")
    if row["breaker"] != "closed":
        parts.append(f"breaker {row['breaker']}")
    if row["retry_s"]:
        parts.append(f"next try in {row['retry_s']:.1f} s")
    if row["error"]:
        parts.append(row["error"])
    return " ".join(parts[:2]) + "".join(f", {part}" for part in parts[2:])


def make_ctl(controller: Controller, **options: str) -> ShardsCtl:
    """supervisorctl's factory."""
    return ShardsCtl(controller)
