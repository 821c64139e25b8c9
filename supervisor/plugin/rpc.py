"""The `shards` name space of supervisord's XML-RPC: adds and removes shards by id. Runs inside supervisord.

A caller gives only an id. The command, the directory and the log file come from the section `[rpcinterface:shards]` of
the static configuration. Every start loads what is imported here, and code that blocks here stops all supervision. So
this module uses no zmq, walks no tree, and imports little beside the standard library and supervisor.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any, Final

from supervisor.http import NOT_DONE_YET
from supervisor.options import ProcessConfig, ProcessGroupConfig, UnhosedConfigParser
from supervisor.process import Subprocess
from supervisor.states import SupervisorStates, getProcessStateDescription
from supervisor.supervisord import Supervisor
from supervisor.xmlrpc import Faults, RPCError

from shardwatch.shard.contract.limits import FIRST_SHARD, SHARD_ID_PATTERN
from shardwatch.shard.contract.process.log_entry import SIGNAL
from shardwatch.shard.contract.state.layout import Layout

from . import bounds, spawn, triggers
from .first_plan import FirstPlan, Planner, forget_planner
from .leaving import Leaving
from .names import EXEC, GROUP, SHIP, WEB
from .notify import Manager
from .pulse import Pulses
from .rearm import Rearm
from .terms import terms_of
from .titles import ByTitle, id_of, titles
from .triggers import UNREADABLE
from .upkeep import Upkeep
from .wake import StdinGuard, Wake
from .words import quieten, use_choice

#: Groups stop from the highest number to the lowest: exec 950, ship 940, web 930, coordinator 900, shards 500, aggregator 100.
PRIORITY: Final = 500
_ID: Final = re.compile(SHARD_ID_PATTERN)


class ShardsRPC:
    """What a client may call. Every method answers SHUTDOWN_STATE once supervisord is on its way out."""

    def __init__(self, supervisord: Supervisor, template: dict[str, str]) -> None:
        self._supervisord = supervisord
        self._options = supervisord.options
        self._template = template
        self._wake = Wake(supervisord)
        self._rearm = Rearm(supervisord, GROUP)
        self._manager = Manager()
        self._pulses = Pulses(supervisord, self._rearm.scans, self._manager.ready)
        self._upkeep = Upkeep(supervisord)
        self._guard = StdinGuard(supervisord) if terms_of(supervisord.options).ends_with_input else None
        #: How the settings say that all programs log.
        self._logged = use_choice(supervisord)
        #: The plan that the titles of the shards are of.
        self._titled: tuple[int, int] | None = None
        self._titles: dict[str, str] = {}
        self._leaving = Leaving(supervisord)
        self._keep_through_reread()
        self._ensure_group()
        self._add_programs()
        self._await_plan(terms_of(supervisord.options).planner)

    # Methods of the name space. Docstrings in the form that supervisord's system.methodHelp reads.

    def add(self, shard: str) -> bool:
        """Add a shard to the group and start it

        @param string shard   Id of the shard
        @return boolean result  True if it was added, False if it was there already
        """
        self._check(shard)
        if shard not in self._ensure_group().processes:
            self._add(shard)
        elif not self._leaving.want_again(GROUP, shard):
            return False
        self._wake.kick()
        return True

    def remove(self, shard: str) -> Any:
        """Stop a shard and take it out of the group

        @param string shard   Id of the shard
        @return boolean result  True once it is gone, or was killed and the kernel keeps it, False if it was not there
        """
        self._check(shard)
        if shard not in self._ensure_group().processes:
            return False
        process = self._leaving.tell(GROUP, shard)

        def wait_until_gone() -> Any:
            return process is None or self._leaving.has_left(GROUP, shard, process) or NOT_DONE_YET

        wait_until_gone.delay = 0.05  # type: ignore[attr-defined]
        wait_until_gone.rpcinterface = self  # type: ignore[attr-defined]
        return wait_until_gone

    def end(self, group: str, name: str) -> bool:
        """Stop a program of the configuration and take it out of its group; to be called until it is gone

        @param string group   exec, ship or web
        @param string name    Name of the program
        @return boolean result  True once it is not there any more, or was killed and the kernel keeps it
        """
        self._check_state()
        process = self._leaving.tell(group, name) if group in (EXEC, SHIP, WEB) else None
        return process is None or self._leaving.has_left(group, name, process)

    def reread(self) -> bool:
        """Take over the files of the state directory that supervisord keeps in memory, and add programs that are new

        @return boolean result  True
        """
        self._check_state()
        self._upkeep.remember()
        if use_choice(self._supervisord) != self._logged:
            self.relog()
        self._add_programs()
        self._wake.kick()
        return True

    def relog(self) -> bool:
        """Have every program log as the files of the state directory say now

        @return boolean result  True
        """
        self._check_state()
        self._logged = use_choice(self._supervisord)
        for process in self._processes():
            if process.pid and self._pulses.row(process)["heard"]:  # it has a handler for it by then
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, SIGNAL)
        return True

    def rearm(self, name: str) -> bool:
        """Start a program at once that waits, or that a stand-in runs for, and forget how often it died

        @param string name   Name of a program, or id or title of a shard
        @return boolean result  True if there is such a program
        """
        self._check_state()
        found = [process for process in self._processes() if name in (id_of(process), process.config.name)]
        for process in found:
            self._rearm.forget(process)
        self._wake.kick()
        return bool(found)

    def status(self) -> list[dict[str, Any]]:
        """Tell of every program: title, state, pid, seconds up, deaths, breaker, when it is tried again, hangs, signs of life

        @return array result  A list of structs
        """
        self._check_state()
        self._give_titles()
        return [self._row(process) for process in self._processes()]

    # Inside.

    def _row(self, process: Subprocess) -> dict[str, Any]:
        now = time.time()
        pulses = self._pulses.row(process)
        return {
            "group": process.group.config.name if process.group is not None else "",
            "name": id_of(process),
            "title": _full_name(process),
            "state": getProcessStateDescription(process.state),
            "pid": process.pid,
            "up_s": round(max(0.0, now - process.laststart), 3) if process.pid and process.laststart else 0.0,
            **self._rearm.row(process),
            "error": process.spawnerr or "",
            "started": bool(process.laststart),
            **pulses,
            "stuck_s": max(pulses["stuck_s"], self._leaving.stuck_s(process)),
        }

    def _check_state(self) -> None:
        if self._options.mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)

    def _check(self, shard: object) -> None:
        self._check_state()
        if not isinstance(shard, str) or _ID.fullmatch(shard) is None:
            raise RPCError(Faults.BAD_NAME, "an id of a shard is " + SHARD_ID_PATTERN)

    def _processes(self) -> list[Subprocess]:
        groups = sorted(self._supervisord.process_groups.values(), key=lambda group: group.config.priority)
        return [process for group in groups for _, process in sorted(group.processes.items())]

    def _add_programs(self) -> None:
        """Adds the programs of the configuration that are not there yet; those that are leaving stay."""
        for group, name in triggers.add(self._supervisord, self._template):
            self._leaving.want_again(group, name)

    def _ensure_group(self) -> Any:
        group = self._supervisord.process_groups.get(GROUP)
        if group is None:
            self._supervisord.add_process_group(ProcessGroupConfig(self._options, GROUP, PRIORITY, []))
            group = self._supervisord.process_groups[GROUP]
            group.processes = ByTitle(group.processes)
        return group

    def _add(self, shard: str) -> None:
        group = self._ensure_group()
        config = self._config(shard)
        group.config.process_configs.append(config)
        group.processes[shard] = config.make_process(group)  # STOPPED and autostart: the next pass starts it
        self._give_titles()

    def _config(self, shard: str) -> ProcessConfig:
        """A program's configuration, made by supervisord's own parser from our section and the id."""
        parser = UnhosedConfigParser()
        parser.expansions = self._options.environ_expansions
        section = f"program:{shard}"
        parser.add_section(section)
        for option, value in self._template.items():
            parser.set(section, option, value)
        (config,) = self._options.processes_from_section(parser, section, GROUP)
        common = self._options.configroot.supervisord.environment or {}
        config.environment = {**common, **(config.environment or {}), "SHARD_ID": shard}
        return config

    def _give_titles(self) -> None:
        """Names the shards after what they watch with the plan on disk. A plan that can't be read changes nothing."""
        plan = Layout(self._options.here or ".").plan
        try:
            found = plan.stat()
            if (now := (found.st_ino, found.st_mtime_ns)) != self._titled:
                self._titled = now
                self._titles = titles(json.loads(plan.read_bytes()))
        except FileNotFoundError:
            pass  # it is still made, or was removed and is written again
        except (*UNREADABLE, AttributeError, ArithmeticError) as error:
            self._options.logger.warn(f"shards: the plan can't be read: {error!r}")
        for shard, process in self._ensure_group().processes.items():
            process.config.name = self._titles.get(shard, shard)

    def _keep_through_reread(self) -> None:
        """`reread` and `update` compare with the file, where our groups are not: put them there each time."""
        options = self._options
        stock = options.process_config

        def process_config(do_usage: bool = True) -> None:
            stock(do_usage=do_usage)
            ours = [self._supervisord.process_groups.get(name) for name in (GROUP, EXEC, SHIP, WEB)]
            options.process_group_configs += [group.config for group in ours if group is not None]

        options.process_config = process_config

    def _await_plan(self, planner: Planner | None) -> None:
        """Adds the shards of the plan, at a first start once it was made. Where that fails, the coordinator adds them.

        Every first plan has FIRST_SHARD, which is loaded meanwhile, and then waits for it.
        """
        socket_map = self._options.get_socket_map()
        forget_planner(socket_map)
        if planner is None:
            self._add_planned()
        else:
            self._add(FIRST_SHARD)
            FirstPlan(socket_map, planner, self._add_planned)

    def _add_planned(self) -> None:
        there = self._ensure_group().processes
        for shard in planned_shards(Layout(self._options.here or "."), self._options.logger.warn):
            if shard not in there:
                self._add(shard)


def planned_shards(here: Layout, warn: Callable[[str], object]) -> list[str]:
    """Shards of the plan on disk, if it still fits the settings: they need not wait for the coordinator.

    None of a plan that is damaged, of which `warn` is told: to do something about it is for the coordinator.
    """
    try:
        key = here.plan_key.read_text("ascii").strip()
        plan = json.loads(here.plan.read_bytes())
        if plan["key"] != key:
            return []
        ids = {str(anchor["shard"]) for anchor in plan["anchors"]}
    except FileNotFoundError:
        return []
    except UNREADABLE as error:
        warn(f"shards: the plan can't be read: {error!r}")
        return []
    return sorted(shard for shard in ids if _ID.fullmatch(shard))


def _full_name(process: Subprocess) -> str:
    """As supervisorctl lists it."""
    name: str = process.config.name
    group = process.group
    return name if group is None or group.config.name == name else f"{group.config.name}:{name}"


def make_rpc(supervisord: Supervisor, **template: str) -> ShardsRPC:
    """supervisord's factory: called at every start and reload, before any program runs."""
    bounds.install()
    spawn.install()
    terms_of(supervisord.options).hang_up.install()
    quieten(supervisord)
    return ShardsRPC(supervisord, template)
