"""The limits of inotify and how much of them this user's processes use; and which filesystems report no remote changes.

Reads only /proc. The kernel counts watches and instances per user, over all processes, and limits the queue of each
instance.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.kernel.allowance import INSTANCES, WATCHES, allowance
from shardwatch.shard.contract.kernel.mounts import holder, is_remote, read_mounts
from shardwatch.shard.contract.kernel.usage import held_by_user
from shardwatch.shard.contract.limits import LIMIT_RESERVE

from ..host.scouting import Scouts
from .budget import Budget

#: A raised limit is rounded up to a multiple of this. A watch in use takes about 1 KiB of kernel memory.
WATCHES_STEP: Final = 65_536
INSTANCES_STEP: Final = 128


class InotifyLimits(Struct, frozen=True):
    """What is allowed to one user, and what that user's processes hold. All zero where there is no inotify."""

    watches: int
    instances: int
    queue: int
    watches_used: int
    instances_used: int
    #: Processes of this user whose descriptors can't be read: what they hold is not in the sums.
    unreadable: int = 0
    #: The sysctls that say so: the machine's, or those of a user namespace that is allowed less.
    watches_sysctl: str = "fs.inotify.max_user_watches"
    instances_sysctl: str = "fs.inotify.max_user_instances"

    @property
    def available(self) -> bool:
        return self.watches > 0 and self.instances > 0

    @property
    def exists(self) -> bool:
        """Whether the kernel has inotify, however little of it is allowed."""
        return self.queue > 0


def read_inotify_limits(uid: int | None = None, proc: Path = Path("/proc")) -> InotifyLimits:
    """Limits and use of user `uid` (default: ours). A process that ends meanwhile is left out; never raises.

    An instance that a process inherited from its parent counts twice, once in each: the sum errs on the safe side.
    """
    held = held_by_user(os.geteuid() if uid is None else uid, proc)
    watches_allowed, instances_allowed = allowance(WATCHES, proc), allowance(INSTANCES, proc)
    return InotifyLimits(
        watches=watches_allowed.value,
        instances=instances_allowed.value,
        queue=_number(proc / "sys/fs/inotify/max_queued_events"),
        watches_used=held.watches,
        instances_used=held.instances,
        unreadable=held.unreadable,
        watches_sysctl=watches_allowed.sysctl,
        instances_sysctl=instances_allowed.sysctl,
    )


def budget(limits: InotifyLimits, *, own_instances: int = 0, own_watches: int = 0) -> Budget:
    """What a plan may use: the limits less LIMIT_RESERVE and less what others hold. `own_*` is ours already (`held_by`)."""
    watches = int(limits.watches * (1 - LIMIT_RESERVE)) - max(0, limits.watches_used - own_watches)
    instances = int(limits.instances * (1 - LIMIT_RESERVE)) - max(0, limits.instances_used - own_instances)
    return Budget(shards_max=max(0, instances), watches_max=max(0, watches))


def watches_remedy(limits: InotifyLimits, needed: int) -> str:
    """The command that makes room for `needed` watches of ours beside what others hold, the reserve and some growth."""
    total = max((needed * 1.25 + limits.watches_used) / (1 - LIMIT_RESERVE), limits.watches + 1)
    return f"sysctl -w {limits.watches_sysctl}={_step(total, WATCHES_STEP)}"


def instances_remedy(limits: InotifyLimits, needed: int) -> str:
    """The command that makes room for `needed` instances of ours: one for each shard."""
    total = max((needed + limits.instances_used) / (1 - LIMIT_RESERVE), limits.instances + 1)
    return f"sysctl -w {limits.instances_sysctl}={_step(total, INSTANCES_STEP)}"


def filesystem(path: bytes, proc: Path = Path("/proc")) -> tuple[str, bool]:
    """The type of the filesystem that holds `path`, and whether it must be polled. ("unknown", False) without /proc.

    The path need not exist: then it is the filesystem that it would be made in. Asks /proc/self/mountinfo instead of
    statfs: statfs can hang on a dead network mount, and says `fuse` of all that is FUSE.
    """
    mounts = list(read_mounts(proc))
    with Scouts(mounts) as scouts:
        _, kind = holder(scouts.real(path), mounts)
    return kind, is_remote(kind)


def _number(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _step(total: float, step: int) -> int:
    return -(-int(total) // step) * step
