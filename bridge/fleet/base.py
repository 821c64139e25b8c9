"""What both clients are made of: their checked arguments."""

from __future__ import annotations

import math
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from shardwatch.shard.contract.input import arguments

from ..jetstream.access import Access, access, demand_nats
from ..protocol.names import PREFIX, STREAM, Subjects, check_token
from .sqlite import SqliteFleetStore
from .store import FleetStore

if TYPE_CHECKING:
    from .following import FollowingOptions
    from .member import MemberOptions

#: Defaults.
AWAY_S: Final = 15.0
LEASE_S: Final = 60.0
BATCH_MAX: Final = 1_000
_NAME_CHARS_MAX: Final = 128
_SECONDS_MAX: Final = 86_400.0


class FleetClientBase:
    """The servers and the stream that are asked, who asks, and where it is kept."""

    def __init__(
        self, store: Any, url: str | None = None, *, stream: str = STREAM, prefix: str = PREFIX, worker: str = "",
        away_s: float = AWAY_S,
    ) -> None:  # fmt: skip
        self._access: Access = access(None if url is None else arguments.text("url", url, 4096), os.environ)
        self._stream = check_token("name of a stream", stream)
        Subjects(prefix, "any", 1)
        self._prefix = prefix
        worker = worker if worker != "" else f"{socket.gethostname()}-{os.getpid()}"
        self._worker = arguments.text("worker", worker, _NAME_CHARS_MAX)
        self._away_s = arguments.seconds("away_s", away_s, 1.0, 3600.0)
        demand_nats()
        self._store_is_ours = isinstance(store, str | bytes | os.PathLike)
        self._store = SqliteFleetStore(arguments.path("store", store)) if self._store_is_ours else _checked(store)

    def _member_options(self, group: str, patience_s: float | None, *, follow: bool) -> MemberOptions:
        from .member import MemberOptions

        check_token("name of a group", group)
        if patience_s is None or patience_s == math.inf:
            patience_s = math.inf if follow else 0.0
        else:
            patience_s = arguments.seconds("patience_s", patience_s, 0.0, _SECONDS_MAX * 366)
        return MemberOptions(self._stream, self._prefix, group, self._worker, self._away_s, patience_s)

    def _following_options(
        self, group: str, most: int | None, wait_s: float | None, lease_s: float | None, *, follow: bool
    ) -> FollowingOptions:
        from .following import FollowingOptions

        most = BATCH_MAX if most is None else arguments.whole("max", most, 1, BATCH_MAX)
        wait_s = arguments.seconds("wait_s", 0.0 if wait_s is None else wait_s, 0.0, _SECONDS_MAX)
        return FollowingOptions(group, most, lease_or(LEASE_S, lease_s), None if follow else wait_s)


def _checked(store: Any) -> Any:
    """A store of either kind: their methods have the same names."""
    if not isinstance(store, FleetStore):
        raise arguments.wrong("store", store, "the path of a file, or an object with the methods of FleetStore")
    return store


def lease_or(default: float, lease_s: float | None) -> float:
    return default if lease_s is None else arguments.seconds("lease_s", lease_s, 0.001, _SECONDS_MAX)


def timeout(timeout_s: float) -> float:
    return arguments.seconds("timeout_s", timeout_s, 0.0, _SECONDS_MAX)


def pause(retry_s: float | None) -> float | None:
    """Seconds until a batch that failed comes again; 0 would be none."""
    return None if retry_s is None else max(0.001, arguments.seconds("retry_s", retry_s, 0.0, _SECONDS_MAX))
