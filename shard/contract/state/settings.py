"""The effective settings of one service: plain data that every process reads at its start.

The models with their validation, layers and origins are in `supervisor.config`, because a shard must not load pydantic.
Settings that are stored here are already valid.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from .directory import read_private, write_private


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine runs with. Names end in their unit; defaults are those of the service (not of WatcherConfig)."""

    #: Absolute, normalised directories; exact bytes travel as surrogateescape strings in memory, base64 in the file.
    roots: tuple[bytes, ...]
    #: Single files that are watched, whatever the patterns say; and those of `roots` that are there for their sake alone
    #: (`shard.contract.filter.scope`). Both empty in what the configuration gives: `planning.named` makes them of its roots.
    files: tuple[bytes, ...] = ()
    only: tuple[bytes, ...] = ()
    #: True: a root that does not exist yet is no error, but waited for.
    wait_for_roots: bool = False
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    #: False: only the files directly in a root.
    recursive: bool = True
    #: True: links to directories inside the tree are descended into, loops cut.
    follow_symlinks: bool = False
    #: True: directories are reported as events of their own too.
    directories: bool = False
    #: True: a file is reported as modified only where its content may be another; False: also when its mode, owner or
    #: attributes are.
    content_only: bool = False
    #: What other roots or filters leave out is True: forgotten, without events; False: told as deleted.
    forget_left_out: bool = False
    settle_ms: int = 50
    settle_ms_max: int = 1000
    batch_size_max: int = 1000
    batch_wait_ms: int = 2000
    lease_ms: int = 60_000
    #: Batches one group may have handed out and not yet acked.
    leases_max: int = 64
    #: True: batches are held back while version control holds its lock in a root.
    hold_for_vcs: bool = False
    #: Longest time for which batches are held back at one go, whoever holds.
    hold_ms_max: int = 60_000
    #: Attempts after which a path that makes batches fail is set aside.
    attempts_max: int = 5
    #: gitignore glob -> priority; higher is served first, first in first out within one.
    priorities: dict[str, int] = {}
    #: Rows that the Python API's EventQueue holds at most.
    queue_size_max: int = 1_000_000
    retention_days: float = 7.0
    #: How long tombstones stay for a group that rewinds, seconds.
    replay_s: float = 3600.0
    #: 0: chosen from the tree, the processors and the limits.
    shards: int = 0
    #: auto | inotify | polling | native
    backend: str = "auto"
    #: Shortest time between two sweeps of what is polled.
    poll_ms: int = 1000
    #: What a pass of the verification takes at least, seconds; 0: there is none.
    verify_period_s: float = 86_400.0
    #: process: survives any crash of ours; power: survives the machine's.
    durability: str = "process"

    def named(self) -> tuple[bytes, ...]:
        """What the user named to be watched."""
        return tuple(dict.fromkeys([*(root for root in self.roots if root not in self.only), *self.files]))


def read_settings(path: Path) -> Settings:
    """Reads what `write_settings` wrote.

    Raises OSError, msgspec.ValidationError for a damaged file, UsageError for one that others can write.
    """
    return msgspec.json.decode(read_private(path), type=Settings)


def write_settings(path: Path, settings: Settings) -> None:
    """Replaces the file in one step, mode 0600."""
    write_private(path, msgspec.json.format(msgspec.json.encode(settings), indent=1))
