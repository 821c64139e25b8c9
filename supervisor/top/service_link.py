"""Looks at a service, and restarts its programs. Everything here blocks, for seconds where something does not answer."""

from __future__ import annotations

import heapq
from typing import Any, Final
from xmlrpc.client import Fault

from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.state.layout import Layout

from ..search.find import FoundFile, find
from ..service.control import NO_ANSWER, supervisord
from ..service.status_now import status_now

#: Files that changed recently: how many, and how long ago at most, in seconds.
RECENT_MAX: Final = 200
RECENT_S: Final = 600.0


class ServiceLink:
    """One service, which may be away, and come back."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def look(self) -> dict[str, Any]:
        """See `status_now`."""
        return status_now(self.layout)

    def recent(self) -> list[FoundFile]:
        """The files that were modified in the last RECENT_S seconds, the latest change first. Raises ShardwatchError."""
        found = find(self.layout.state_dir, changed_within_s=RECENT_S)
        return heapq.nlargest(RECENT_MAX, found, key=lambda file: file.tick)

    def restart(self, program: str) -> None:
        """Stops a program, named as `status` names it, and starts it again. Raises ServiceError with supervisord's reason."""
        name = program if ":" in program else f"{program}:{program}"
        try:
            with supervisord(self.layout.supervisor_socket) as proxy:
                try:
                    proxy.supervisor.stopProcess(name)
                except Fault as fault:
                    if "NOT_RUNNING" not in fault.faultString:
                        raise
                proxy.supervisor.startProcess(name, False)
        except Fault as fault:
            raise ServiceError(f"{program} can't be restarted: {fault.faultString}") from None
        except NO_ANSWER as error:
            raise ServiceError(f"supervisord does not answer: {error}") from None
