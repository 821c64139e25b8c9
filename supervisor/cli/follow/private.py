"""A service that a command starts for itself, and ends when it ends: `watch`, and `exec` with PATHs.

Light: a service is started as soon as the arguments are read, if its process was not before, and what follows it is loaded
meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from shardwatch.shard.contract.process.loading import Loading

from ..options import sources

if TYPE_CHECKING:
    from ...config.resolve import Resolved
    from ...service.child import ChildService
    from ...service.state_dir import Prepared
    from ...terminal.ends import Ends

#: Seconds that the service may take to end (its programs get 1 + 1 + 2 s), of the 5 s that the whole command may take to.
STOP_S: Final = 4.5


@contextlib.contextmanager
def private_service(
    options: argparse.Namespace, resolved: Resolved, ends: Ends, *, ordinary: bool = False
) -> Iterator[tuple[Prepared, ChildService]]:
    """Starts it, and yields long before it is ready. It is gone when this is left, and so is its state directory, unless the user
    gave one (`options.state_dir`).

    `ordinary`: as `watched_tree` was told.

    Raises UsageError and InUseError as `prepare` does, OSError, and Ended where the user has asked for the end already.
    """
    with Loading():
        from ...service.child import ChildService
        from ...service.state_dir import prepare
        from ...service.temporary import make_temporary, remove_temporary

    ephemeral = not options.state_dir
    state_dir = make_temporary("give --state-dir DIR") if ephemeral else resolved.state_dir
    try:
        ends.check()
        read_from = sources(options, resolved, state_dir, ordinary=ordinary)
        prepared = prepare(state_dir, resolved.settings, sources=read_from, temporary=ephemeral)
        child = ChildService(prepared.layout, follow=True, ephemeral=ephemeral, claim=prepared.claim, early=options.early)
        try:
            yield prepared, child
        finally:
            child.stop(STOP_S)
    finally:
        if ephemeral:
            remove_temporary(state_dir)
