"""The messages between shards and the aggregator: msgpack, with a version and a size limit. Paths are exact bytes, times
nanoseconds.

Upwards (PUSH, one frame per message), a `Frame` carries numbered records, and a `Beat`, which has no number, the state
of the shard. Downwards (PUB, two parts: the topic, which is the shard's id, and the body) there is `Reply`.

There is one stream per shard and epoch, numbered from 1. The aggregator applies it strictly in order, and each frame
once: the number of the last frame applied is stored in the same transaction as its rows. See ARCHITECTURE.md, "One
writer per row".

Whatever else a later version changes: each message begins with its kind and the version; a `Frame` and a `Beat` go on with
the shard and the epoch, a `Reply` with the life. So processes of one service that run different code can tell which of
them began earlier, and so has the older code (`OtherVersionError`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..errors import WireError
from ..files.packed import INT_MAX, INT_MIN, WIDTH, Seen, are_whole
from ..files.paths import are_exact, are_names
from ..limits import FRAME_BYTES_MAX, WIRE_VERSION
from ..version import UPGRADED

#: No frame may contain a number that SQLite's integers cannot hold.
_Int = Annotated[int, Meta(ge=INT_MIN, le=INT_MAX)]
#: The range of counters and of numbers of streams, far from any overflow when they are added to.
_Count = Annotated[int, Meta(ge=0, le=1 << 53)]
_Name = Annotated[bytes, Meta(min_length=1, max_length=4096)]
_Path = Annotated[bytes, Meta(min_length=1)]


class _Tells(msgspec.Struct, array_like=True, frozen=True):
    """What records have in common that tell of names in a directory."""

    path: _Path
    #: Wall clock at which the look began, ns.
    at: _Int
    #: Those that are there, each once.
    names: list[_Name]
    #: One packed stat for each name, in the same order (`files.packed`).
    stats: bytes

    @property
    def seen(self) -> Seen:
        """The names that are there, with their stats."""
        return Seen(self.names, self.stats)


class Listing(_Tells, tag=1, array_like=True, frozen=True):
    """The complete listing of a directory: every name in scope in (after, upto], sorted. A name that is not in it is absent."""

    #: Exclusive lower and inclusive upper bound of the names covered; None is open. A large directory is sent in several parts.
    after: bytes | None = None
    upto: bytes | None = None
    #: Of files that came here by a rename, also of a directory above: when each was made (statx(2), ns since 1970). Only where
    #: the filesystem knows.
    births: dict[bytes, _Int] = {}


class Looks(_Tells, tag=2, array_like=True, frozen=True):
    """Some names of a directory that were looked at one by one: each is present with its lstat, or absent."""

    absent: list[_Name]
    #: As of a `Listing`.
    births: dict[bytes, _Int] = {}


class Gone(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """An anchor of the sender does not exist (ENOENT, ENOTDIR, or another file is in its place): everything below it is gone."""

    path: _Path
    at: _Int


class Baseline(msgspec.Struct, tag=4, array_like=True, frozen=True):
    """The sender has looked at everything that it owns under this plan, in this epoch."""

    generation: _Count
    directories: int
    files: int


class Synced(msgspec.Struct, tag=5, array_like=True, frozen=True):
    """All hints that were in the kernel's queue when the sync was read have been followed, and the results are earlier in this
    stream.
    """

    token: int
    #: Subtrees that could not be looked at (in doubt), at most a few; empty if all is well.
    doubts: list[bytes] = []
    #: Subtrees that could not be looked at since the sender began, so that nothing is known about them.
    left_out: list[bytes] = []


class Check(msgspec.Struct, tag=6, array_like=True, frozen=True):
    """The contents of a directory, or of a range of its names, reduced to one number by the verification. No hint concerned
    them. If the rows give another number, the aggregator asks for all of it (`Reply.checks`).
    """

    path: _Path
    at: _Int
    #: `fold.folded` of what was seen.
    folded: _Int
    #: How many names.
    count: _Count
    after: bytes | None = None
    upto: bytes | None = None


class Verified(_Tells, tag=7, array_like=True, frozen=True):
    """The answer to `Reply.checks`: all names, as in a `Listing`. Differences from the rows had no hint, except for names in
    `hinted`.
    """

    after: bytes | None
    upto: bytes | None
    #: Names that are changing: they had a hint in the meantime, or differed between two looks some seconds apart.
    hinted: list[bytes]


class Confirmed(_Tells, tag=8, array_like=True, frozen=True):
    """Names whose last look was racy and that were looked at again after that time, without a hint in between. If the stat is
    the same, so is the file.
    """


Record = Listing | Looks | Gone | Baseline | Synced | Check | Verified | Confirmed


class Frame(msgspec.Struct, tag="frame", array_like=True, frozen=True):
    """Numbered records of one stream."""

    version: int
    shard: str
    epoch: _Count
    generation: _Count
    seq: _Count
    records: list[Record]
    #: The running service to which the sender belongs (`life.service_id`). Frames of any other service are refused.
    service: str = ""


class Doubt(msgspec.Struct, array_like=True, frozen=True):
    """A subtree that is not watched, or cannot be read: what, why, and what to do."""

    path: bytes
    #: polled | stand-in | unreadable | missing | unmounted | unanswered | loop | not followed | too deep | virtual
    state: str
    reason: str
    remedy: str
    directories: int = 0


class Verifying(msgspec.Struct, array_like=True, frozen=True):
    """The progress of a shard's verification. A pass looks at everything that the shard owns once."""

    #: Names looked at in this pass, and passes that were finished in this epoch.
    names: int = 0
    passes: int = 0
    #: How long a pass takes at the present pace, seconds; 0 if the verification is off.
    period_s: int = 0


class PollingTier(msgspec.Struct, array_like=True, frozen=True):
    """Directories that are polled alike."""

    #: active | recent | quiet: how recently something changed in them.
    name: str
    directories: int
    #: The longest time between two looks at each of them, as planned, or as it was in the last minutes if that was longer.
    bound_ms: int


class Polling(msgspec.Struct, array_like=True, frozen=True):
    """How the directories without a watch are looked at."""

    tiers: list[PollingTier] = []
    #: Processor time that the looks took in the last half minute, percent of a core.
    cpu_percent: float = 0.0
    #: What would be needed to look at each of them within `poll_ms_max`.
    needed_percent: float = 0.0
    #: How many would be watched if there were room.
    wanting: int = 0


class TakingOn(msgspec.Struct, array_like=True, frozen=True):
    """What a shard watches in advance as an heir, because the next plan gives it to it. Its stream tells nothing of it."""

    #: Of that plan; 0: there is none, or it gives the shard nothing that another one has.
    generation: _Count = 0
    anchors: _Count = 0
    #: looking | ready | no watches left: then it does so no more | "": there is nothing
    state: str = ""


class Beat(msgspec.Struct, tag="beat", array_like=True, frozen=True):
    """The state of a shard. A lost beat does no harm. Counters count from the beginning of the epoch."""

    version: int
    shard: str
    epoch: _Count
    generation: _Count
    pid: int
    #: starting | scanning | watching | stand-in
    state: str
    backend: str
    directories: int
    files: int
    watches: int
    polled: int
    pending: int
    unacked: int
    overflows: int
    rescans: int
    hints: int
    looks: int
    filtered: int
    others: int
    doubts: list[Doubt]
    #: Frames sent again, because their acks did not come.
    resent: int = 0
    service: str = ""
    #: How long a rescan waits after the last one, because one overflow followed another; 0: it does not wait.
    rescan_pause_ms: int = 0
    #: Hints were lost and the rescan for them has not begun, because the pause is not over.
    rescan_owed: bool = False
    #: Lock files of version control that exist in roots of the sender (only with `hold_for_vcs`).
    locks: list[_Path] = []
    verifying: Verifying = Verifying()
    #: Whether the sender uses native code: in use | not built | turned off.
    native_code: str = ""
    #: The `Reply.life` of the last reply that the sender has taken; 0: it has had none.
    life: _Count = 0
    #: Ignore files that the sender knows; None: it asks none (`ignore_files`).
    ignore_files: int | None = None
    polling: Polling = Polling()
    #: Directories, and whole filesystems, that cannot be read now.
    unreadable: _Count = 0
    #: Bytes that the sender has, and that it had after its baseline; 0: not asked (`memory_mib_max`), or not known yet.
    memory: _Count = 0
    memory_needed: _Count = 0
    #: The directories in which most names change, and how many in a minute, before debouncing; the busiest first.
    busiest: list[tuple[_Path, _Count]] = []
    taking_on: TakingOn = TakingOn()


class Reply(msgspec.Struct, tag="reply", array_like=True, frozen=True):
    """What the aggregator tells a shard. It is repeated with every beat until the shard's own beats show that it is known, so any
    of these messages may be lost.
    """

    version: int
    #: Identifies the life of the aggregator: when it began (`life.new_epoch`). If it changes, the aggregator was restarted, and
    #: frames that were on their way may be lost.
    life: _Count
    #: The epoch that the aggregator knows for this shard. If it is above the shard's own, the shard must begin a higher one.
    epoch: _Count
    #: Highest number up to which all frames are committed.
    committed: _Count
    #: True: a gap was seen, send everything after `committed` again.
    resend: bool
    #: Syncs that wait for this shard.
    syncs: list[int] = []
    #: Directories and names to look at again (all names where the list is empty).
    looks: list[tuple[_Path, list[_Name]]] = []
    service: str = ""
    #: (directory, after, upto) of checks that differed from the rows. The shard looks at them again, twice, and answers with
    #: `Verified`.
    checks: list[tuple[_Path, bytes | None, bytes | None]] = []
    #: How many shards poll directories now; they share the processor time for it.
    pollers: _Count = 0
    #: Of the plan by which the aggregator judges what is sent; a shard that goes by another looks for it at once.
    generation: _Count = 0


class OtherVersionError(WireError):
    """A message of another wire version. Its sender runs other code, which was installed while the service ran.

    Attributes:
        version: of the message.
        begun: when the sender began (`life.new_epoch`); 0 if it does not say.
        shard: the sender; "" if it is the aggregator.
    """

    def __init__(self, kind: str, version: int, begun: int, shard: str = "") -> None:
        super().__init__(f"{kind} of version {version}, this is {WIRE_VERSION}", hint=UPGRADED)
        self.version = version
        self.begun = begun
        self.shard = shard


class _FrameHead(msgspec.Struct, tag="frame", array_like=True, frozen=True):
    """How a frame of any version begins."""

    version: int
    shard: str
    epoch: _Count


class _BeatHead(_FrameHead, tag="beat", array_like=True, frozen=True):
    """How a beat of any version begins."""


class _ReplyHead(msgspec.Struct, tag="reply", array_like=True, frozen=True):
    """How a reply of any version begins."""

    version: int
    #: Text until version 3.
    life: _Count | str


_up_head = msgspec.msgpack.Decoder(_FrameHead | _BeatHead)
_down_head = msgspec.msgpack.Decoder(_ReplyHead)
_up = msgspec.msgpack.Decoder(Frame | Beat)
_down = msgspec.msgpack.Decoder(Reply)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Frame | Beat | Reply) -> bytes:
    return _encoder.encode(message)


def decode_up(body: bytes | memoryview) -> Frame | Beat:
    """Raises WireError for anything that is not a frame of this version, OtherVersionError if it is one of another."""
    if len(body) > FRAME_BYTES_MAX:
        raise WireError(f"frame of {len(body)} bytes is over {FRAME_BYTES_MAX}")
    try:
        message: Frame | Beat = _up.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: text that is not UTF-8
        with contextlib.suppress(msgspec.DecodeError, ValueError, RecursionError):
            head = _up_head.decode(body)
            if head.version != WIRE_VERSION:
                raise OtherVersionError("frame", head.version, head.epoch, head.shard) from error
        raise WireError(f"frame can't be decoded: {error}") from error
    if message.version != WIRE_VERSION:
        raise OtherVersionError("frame", message.version, message.epoch, message.shard)
    if isinstance(message, Frame):
        _check_records(message.records)
    else:
        _check_paths([*message.locks, *(doubt.path for doubt in message.doubts)])
    return message


def decode_down(body: bytes | memoryview) -> Reply:
    """Raises WireError for anything that is not a reply of this version, OtherVersionError if it is one of another."""
    if len(body) > FRAME_BYTES_MAX:
        raise WireError(f"reply of {len(body)} bytes is over {FRAME_BYTES_MAX}")
    try:
        message: Reply = _down.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: text that is not UTF-8
        with contextlib.suppress(msgspec.DecodeError, ValueError, RecursionError):
            head = _down_head.decode(body)
            if head.version != WIRE_VERSION:
                raise OtherVersionError("reply", head.version, _begun(head.life)) from error
        raise WireError(f"reply can't be decoded: {error}") from error
    if message.version != WIRE_VERSION:
        raise OtherVersionError("reply", message.version, message.life)
    _check_paths([directory for directory, _ in message.looks] + [directory for directory, _, _ in message.checks])
    _check_names({name for _, names in message.looks for name in names})
    return message


def _begun(life: int | str) -> int:
    return life if isinstance(life, int) else 0


#: Records that tell of names in a directory.
_ABOUT_NAMES: Final = frozenset({Listing, Looks, Verified, Confirmed})


def _check_records(records: list[Record]) -> None:
    """Checks that each record is about names of one directory and mentions each name once. Raises WireError otherwise."""
    names: set[bytes] = set()
    paths: list[bytes] = []
    stats: list[bytes] = []
    for record in records:
        kind = type(record)  # one of the sum of types that was decoded: quicker than isinstance, and each frame pays for it
        if kind in _ABOUT_NAMES:
            mentioned = record.names  # type: ignore[union-attr]
            stats.append(record.stats)  # type: ignore[union-attr]
            if len(record.stats) != len(mentioned) * WIDTH:  # type: ignore[union-attr]
                raise WireError("stats that are not one for each name")
            if kind is Looks:
                mentioned = mentioned + record.absent  # type: ignore[union-attr]
            once = set(mentioned)
            if len(once) != len(mentioned):
                raise WireError("a record that mentions a name twice")
            names |= once
            paths.append(record.path)  # type: ignore[union-attr]
        elif kind is Gone or kind is Check:
            paths.append(record.path)  # type: ignore[union-attr]
        elif kind is Synced:
            paths += record.doubts  # type: ignore[union-attr]
    together = b"".join(stats)
    if not are_whole(together, len(together) // WIDTH):
        raise WireError("a stat that no look has")
    _check_paths(paths)
    _check_names(names)


def _check_names(names: Collection[bytes]) -> None:
    if not are_names(names):
        raise WireError("a name that no file can have")


def _check_paths(paths: Sequence[bytes]) -> None:
    if not are_exact(paths):
        raise WireError("a path that is not absolute, or leads up")
