"""Every limit of the engine, with its unit and its reason."""

from __future__ import annotations

from typing import Final, TypeVar

T = TypeVar("T", int, float)

#: Version of the frames between shards and aggregator. Both sides refuse any other.
WIRE_VERSION: Final = 3
#: Largest frame either side accepts, bytes. A listing is split well before that.
FRAME_BYTES_MAX: Final = 8 << 20
#: Entries after which a frame is closed and sent. One SQLite transaction takes several frames. While it is made, and while it is
#: applied, each entry is some 400 bytes of objects, which leave their pages behind: with 1,000 it was 0.5 MB more, of both sides.
FRAME_ENTRIES_MAX: Final = 250
#: Unacknowledged frames and bytes a shard keeps. When either is reached, looks wait (hints collapse, scans pause).
#: Small, because it is memory on both sides (ZeroMQ's queue holds it for a slow aggregator), and 32,000 entries are plenty.
WINDOW_FRAMES_MAX: Final = 128
WINDOW_BYTES_MAX: Final = 4 << 20
#: Longest path that is watched, bytes: twice PATH_MAX, which nobody can open by its path any more. Records, rows and looks hold
#: whole paths, so what a chain of nested directories costs would else grow with the square of its length. What lies deeper is
#: left out, and `status` tells of it.
PATH_BYTES_MAX: Final = 8_192
#: Pending names a shard keeps before a directory's names collapse into "list the directory".
PENDING_NAMES_MAX: Final = 200_000
#: Names of one directory that are looked at one by one; above it listing the directory is cheaper and no less exact.
LOOKS_PER_DIRECTORY_MAX: Final = 4_000

#: Paths through two links or more by which one directory is followed: six packages that all link to each other have 326 ways to
#: each of them. Links that lie in a tree themselves are all followed, so a path through one link always is.
WAYS_MAX: Final = 8
#: Directories that a shard knows through links, each path counted; beyond it no further link is entered.
LINKED_MAX: Final = 200_000

#: Seconds between heartbeats of an idle process: a shard's beats, the aggregator's repeated acks, everyone's pulse. They all
#: beat on the same grid of the shared clock, so that an idle service wakes the machine once and not five times.
BEAT_S: Final = 2.0
#: Shortest time between two pulses of a busy process.
PULSE_S: Final = 1.0
#: Seconds of silence after which a shard counts as hung or dead in `status`.
SILENT_S: Final = 5.0
#: Seconds between looks at the identity of a shard's anchors (an open and an fstat each), on the same grid.
ANCHOR_CHECK_S: Final = 2.0

#: Part of a processor core that the verification may use, all shards and the aggregator together, while nothing else happens.
VERIFY_SHARE: Final = 0.0005
#: Names that one record of the verification covers, and about so much is looked at in one go.
VERIFY_NAMES_MAX: Final = 500

#: Longest path of an ipc:// endpoint in bytes: sockaddr_un.sun_path less the closing NUL (unix(7)).
IPC_PATH_BYTES_MAX: Final = 107
#: Ids of shards. They are part of supervisord's configuration and of program names. There a `%`, a `;`, a quote or a newline
#: could change what is run, and supervisor refuses blanks, colons and slashes (`process_or_group_name` in its datatypes.py).
SHARD_ID_PATTERN: Final = r"[a-z0-9][a-z0-9_-]{0,62}"

#: Part of max_user_watches and max_user_instances that the plan leaves to the user's other programs.
LIMIT_RESERVE: Final = 0.1


def next_beat(now: T, period: T) -> T:
    """The next point of the grid of `period` after `now`, in the unit of both."""
    return (now // period + 1) * period
