"""Commands of shardwatch in supervisorctl: `shards`, and those commands of `shardwatch` that an operator needs beside it.

Runs inside supervisorctl. `shards` combines what supervisord knows of every program with what the aggregator knows of every
shard, and ends with the verdict on the service and everything that needs attention. The other commands are those of the command
line, run in a process of their own for the service of this supervisord. supervisorctl's own `update`, which takes over
supervisord's configuration, takes over that of the service, too.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from supervisor.supervisorctl import Controller, ControllerPluginBase, LSBInitExitStatuses

from shardwatch.shard.contract.state.layout import Layout

#: Subtrees of a shard that a line names.
_SUBTREES_MAX: Final = 3


class ShardsCtl(ControllerPluginBase):
    """Adds the commands to supervisorctl's shell. Method names are supervisorctl's convention.

    Args:
        layout: of the service that this supervisord runs.
    """

    name = "shards"

    def __init__(self, controller: Controller, layout: Layout) -> None:
        self.ctl = controller
        self._layout = layout
        for plugin in controller.options.plugins:
            if (stock := getattr(plugin, "do_update", None)) is not None:
                plugin.do_update = partial(self._update, stock)
            if (stock := getattr(plugin, "do_status", None)) is not None:
                plugin.do_status = partial(self._status, stock)

    def _update(self, stock: Callable[[str], object], arg: str) -> None:
        stock(arg)
        from ..service.service import running

        # Under a supervisord of the operator's own, the service may be stopped: it reads its configuration when it starts.
        if not arg and self.ctl.exitstatus == LSBInitExitStatuses.SUCCESS and running(self._layout):
            self._run("reload", "")

    def _status(self, stock: Callable[[str], object], arg: str) -> None:
        """supervisorctl looks for names by itself, and knows the titles of shards only."""
        stock(" ".join(map(self._title, arg.split())) if "shards:" in arg else arg)

    def _title(self, name: str) -> str:
        """The title of a shard that is called by its id."""
        if not name.startswith("shards:"):
            return name
        try:
            info: Any = self.ctl.get_server_proxy("supervisor").getProcessInfo(name)
        except xmlrpc.client.Fault:
            return name  # it is for supervisorctl to say that there is none
        return f"shards:{info['name']}"

    def do_shards(self, arg: str) -> None:
        """shards [NAME ...]\tstate, pid, uptime, deaths, breaker, next try; of a shard what it watches and what is pending"""
        if not self.ctl.upcheck():
            return
        from ..service.status_now import status_now
        from ..terminal.tables import findings_text

        status = status_now(self._layout)
        rows = status["processes"]
        wanted = {name.removeprefix("shards:") for name in arg.split()}
        shards = {f"shards:{shard['id']}": shard for shard in (status["engine"] or {}).get("shards") or []}
        known = {name.removeprefix("shards:"): row for row in rows for name in (row["name"], _title(row))}
        for row in rows:
            if not wanted or any(known.get(name) is row for name in wanted):
                self.ctl.output(_line(row))
                if row["name"] in shards:
                    self.ctl.output("".join(f"    {line}\n" for line in _watched(shards[row["name"]])).rstrip("\n"))
        if not wanted:
            self.ctl.output(f"{status['health']}\n{findings_text(status['findings'])}".rstrip("\n"))
        for name in sorted(wanted - known.keys()):
            self.ctl.output(f"{name}: ERROR (no such program)")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
        if not rows:
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC

    def help_shards(self) -> None:
        self.ctl.output(str(self.do_shards.__doc__))

    def do_groups(self, arg: str) -> None:
        """groups [list|info|create|rewind|reset|wait|drop ...]\tthe groups of consumers: `shardwatch groups`"""
        self._run("groups", arg or "list")

    def help_groups(self) -> None:
        self.ctl.output(str(self.do_groups.__doc__))

    def do_sync(self, arg: str) -> None:
        """sync [--timeout S]\twait until every change made so far is in the index"""
        self._run("sync", arg)

    def help_sync(self) -> None:
        self.ctl.output(str(self.do_sync.__doc__))

    def do_drain(self, arg: str) -> None:
        """drain [GROUP ...] [--timeout S]\twait until every group has acknowledged every change made so far"""
        self._run("drain", arg)

    def help_drain(self) -> None:
        self.ctl.output(str(self.do_drain.__doc__))

    def do_hold(self, arg: str) -> None:
        """hold --for S [--name N]\thold back all batches for S seconds, or until `release`"""
        self._run("hold", arg)

    def help_hold(self) -> None:
        self.ctl.output(str(self.do_hold.__doc__))

    def do_release(self, arg: str) -> None:
        """release [--name N]\tend a hold"""
        self._run("release", arg)

    def help_release(self) -> None:
        self.ctl.output(str(self.do_release.__doc__))

    def do_root(self, arg: str) -> None:
        """root list|add|remove [PATH ...]\tshow or change what the running service watches"""
        self._run("root", arg or "list")

    def help_root(self) -> None:
        self.ctl.output(str(self.do_root.__doc__))

    def do_rebalance(self, arg: str) -> None:
        """rebalance [--dry-run]\tdivide the trees anew among the shards, if they have grown unevenly"""
        self._run("rebalance", arg)

    def help_rebalance(self) -> None:
        self.ctl.output(str(self.do_rebalance.__doc__))

    def _run(self, command: str, arg: str) -> None:
        """Runs a command of the command line, with supervisorctl's terminal. Its exit code becomes supervisorctl's."""
        try:
            arguments = shlex.split(arg)
        except ValueError as error:
            self.ctl.output(f"ERROR ({command}: {error})")
            self.ctl.exitstatus = LSBInitExitStatuses.INVALID_ARGS
            return
        sys.stdout.flush()
        argv = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", command, "--state-dir", str(self._layout.state_dir)]
        code = subprocess.run([*argv, *arguments], check=False).returncode
        if code:
            self.ctl.exitstatus = code


def _line(row: Mapping[str, Any]) -> str:
    parts = [f"{_title(row):<32} {row['state']:<9}"]
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


def _title(row: Mapping[str, Any]) -> str:
    """A supervisord that runs since before an upgrade may know of none."""
    return str(row.get("title", row["name"]))


def _watched(shard: Mapping[str, Any]) -> list[str]:
    """What a shard watches and how it is doing, in lines."""
    from ..terminal.render import counted, readable

    anchors = [readable(str(path)) for path in shard.get("anchors") or []]
    more = f" and {counted(len(anchors) - _SUBTREES_MAX, 'other subtree')}" if len(anchors) > _SUBTREES_MAX else ""
    lines = [f"{', '.join(anchors[:_SUBTREES_MAX])}{more}"] if anchors else []
    if "backend" not in shard:
        return [*lines, str(shard["state"])]
    polled = f", {shard['polled']} polled" if shard["polled"] else ""
    size = f"{counted(shard['directories'], 'directory')}, {counted(shard['files'], 'file')}"
    lines.append(f"{shard['state']} by {shard['backend']}: {size}, {shard['watches']} watches{polled}")
    lines.append(
        f"{shard['hints']} hints since its start, {counted(shard['pending'], 'name')} to look at, {shard['unacked']} frames "
        f"unacknowledged, {counted(shard['overflows'], 'overflow')}, {counted(shard['rescans'], 'rescan')}"
    )
    return lines


def make_ctl(controller: Controller, **options: str) -> ShardsCtl:
    """supervisorctl's factory. `state_dir`, of the section [ctlplugin:shards], names the state directory; without it that is
    the directory of supervisord's configuration.
    """
    return ShardsCtl(controller, Layout(options.get("state_dir") or str(controller.options.here or ".")))
