"""Every limit of the engine, with its unit and its reason."""

from __future__ import annotations

from typing import Final, TypeVar

T = TypeVar("T", int, float)

#: Version of the frames between shards and aggregator. Both sides refuse any other.
WIRE_VERSION: Final = 5
#: Largest frame either side accepts, bytes. A listing is split well before that.
FRAME_BYTES_MAX: Final = 8 << 20
#: Names after which a frame is closed and sent. One SQLite transaction takes several frames. While a frame is applied, each name
#: takes some 400 bytes of objects, whose pages are not given back. With 1,000 names this was 0.5 MB more.
FRAME_ENTRIES_MAX: Final = 250
#: Unacknowledged frames and bytes that a shard keeps. When either limit is reached, looks wait: hints are merged, and scans
#: pause. The limits are small because this memory is needed on both sides (ZeroMQ's queue holds it for a slow aggregator), and
#: 32,000 entries are plenty.
WINDOW_FRAMES_MAX: Final = 128
WINDOW_BYTES_MAX: Final = 4 << 20
#: Frames of few entries, and how few, of which the acknowledgement waits for the next beat: nobody waits for it, and to be woken
#: for it would cost a shard a sixth of its work for a save.
ACKS_LATER_FRAMES_MAX: Final = 8
ACKS_LATER_ENTRIES_MAX: Final = 16
#: Longest path that is watched, bytes: twice PATH_MAX. No program can open such a file by its path any more. Records, rows and
#: looks contain whole paths, so without this limit the cost of a chain of nested directories would grow with the square of its
#: length. Deeper paths are left out, and `status` says so.
PATH_BYTES_MAX: Final = 8_192
#: Pending names that a shard keeps. Beyond it, the names of a directory are merged into "list the directory".
PENDING_NAMES_MAX: Final = 200_000
#: Names of one directory that are looked at one by one. Above this number, listing the directory is cheaper and as exact.
LOOKS_PER_DIRECTORY_MAX: Final = 4_000

#: Paths through two or more links by which one directory is followed. For example, each of six packages that all link to each
#: other can be reached in 326 ways. Links that lie in a tree themselves are always followed, so a path through one link always
#: is.
WAYS_MAX: Final = 8
#: Directories that a shard knows through links, counting each path. Beyond it, no further link is followed.
LINKED_MAX: Final = 200_000

#: Seconds between heartbeats of an idle process: the beats of shards, the aggregator's repeated acks, and all pulses. All
#: processes use the same grid of the shared clock, so that an idle service wakes the machine once and not five times.
BEAT_S: Final = 2.0
#: Shortest time between two pulses of a busy process.
PULSE_S: Final = 1.0
#: Seconds of silence after which a shard counts as hung or dead in `status`.
SILENT_S: Final = 5.0
#: Seconds between looks at the identity of a shard's anchors (an open and an fstat each), on the same grid.
ANCHOR_CHECK_S: Final = 2.0

#: Names that one record of the verification covers. About as many are looked at in one step.
VERIFY_NAMES_MAX: Final = 500

#: Longest path of an ipc:// endpoint in bytes: sockaddr_un.sun_path less the closing NUL (unix(7)).
IPC_PATH_BYTES_MAX: Final = 107
#: Ids of shards. They are part of supervisord's configuration and of program names. There a `%`, a `;`, a quote or a newline
#: could change what is run, and supervisor refuses blanks, colons and slashes (`process_or_group_name` in its datatypes.py).
SHARD_ID_PATTERN: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
#: The id of the only shard of a first plan, or of the first one of several.
FIRST_SHARD: Final = "s0"
#: Names of the commands of a configuration (`[exec.NAME]`), which are names of programs too.
COMMAND_NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"

#: Share of max_user_watches and max_user_instances that the plan leaves to the user's other programs.
LIMIT_RESERVE: Final = 0.1


def next_beat(now: T, period: T) -> T:
    """The next multiple of `period` after `now`, in the unit of both."""
    return (now // period + 1) * period
