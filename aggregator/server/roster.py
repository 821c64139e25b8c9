"""The list of groups: finds them by name, creates them for a pull, begins them at the baseline, drops them. Does no input
or output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shardwatch.shard.contract.input.shown import shown

from ..groups.group import Group, GroupState
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .call import Call
from .engine_port import EnginePort

#: The maximum number of groups. When it is reached, the oldest group that is not in use is dropped to make room.
GROUPS_MAX: Final = 1_000


class Roster:
    """The groups, which requests refer to by name.

    Args:
        wall: seconds since 1970: when a group was used last.
        removed: is called with each group that is dropped.
    """

    def __init__(
        self,
        index: IndexPort,
        registry: Registry,
        engine: EnginePort,
        wall: Callable[[], float],
        removed: Callable[[Group], None],
    ) -> None:
        self._index = index
        self._registry = registry
        self._engine = engine
        self._wall = wall
        self._removed = removed

    def get(self, name: str) -> Group | None:
        return self._registry.by_name.get(name)

    def use(self, name: str) -> Group:
        """The group of that name, which counts as in use from now on. Raises RefusedError."""
        protocol.check_name(name)
        group = self.get(name)
        if group is None:
            raise RefusedError("unknown_group", f"there is no group {shown(name)}", "a pull makes it; see `groups`")
        group.use(self._wall())
        return group

    def use_or_make(self, name: str, start: str) -> tuple[Group, bool]:
        """Returns the group of that name, which is made if there is none, and whether it was made. Raises RefusedError.

        Args:
            start: where it begins if it is made: `start`, `fresh`, or `now`.
        """
        if self.get(name) is not None:
            return self.use(name), False
        protocol.check_name(name)
        if len(self._registry.named()) >= GROUPS_MAX:
            self._make_room()
        group = self._registry.create(name)
        if start == "start":
            group.begin(self._index, 0, 0)
        elif start == "fresh":
            group.refresh("the group is new")
        self._begin(group)
        return group, True

    def create(self, call: Call, now: float) -> dict[str, object]:
        """Carries out the request `create`. Returns the fields of the reply. Raises RefusedError."""
        group, created = self.use_or_make(call.request.group, call.request.from_)
        self._registry.touch(group)
        return {"created": created, "existed": not created}

    def drop(self, call: Call, now: float) -> dict[str, object]:
        """Carries out the request `drop`. Returns the fields of the reply. Raises RefusedError."""
        group = self.use(call.request.group)
        self._remove(group)
        return {"dropped": group.name}

    def begin_waiting(self) -> None:
        """Begins the groups that wait for the baseline, if the baseline is complete."""
        for group in self._registry.by_name.values():
            self._begin(group)

    def _begin(self, group: Group) -> None:
        """Begins a group at the present: with the changes that follow once everything that existed before is known."""
        if group.state is GroupState.WAITING and self._engine.ready() is not None:
            group.begin(self._index, self._index.tick, self._index.tick)
            self._registry.touch(group)

    def _make_room(self) -> None:
        stubs = [group for group in self._registry.named() if group.state is GroupState.EXPIRED]
        if not stubs:
            raise RefusedError("groups_full", f"there are {GROUPS_MAX} groups already", "drop one that is not used")
        self._remove(min(stubs, key=lambda group: group.seen))

    def _remove(self, group: Group) -> None:
        self._registry.remove(group)
        self._removed(group)
