"""The list of all lasting states of a service that an operator should know of: what each is called, how grave it is, what it
means, and what helps. Pure, and it imports nothing.

`health` finds them in what a service says of itself. `status`, `doctor`, `supervisorctl shards`, `top`, the web page, `/healthz`,
`/readyz` and the metric `shardwatch_degraded` show what it has found, so whatever is added here is shown by all of them. Tests
compare the list with docs/health.md, and the failure tables of ARCHITECTURE.md with the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

#: error: something is not seen, or not handed out, now. warning: late or costly, and can be corrected. note: intended,
#: unavoidable, or over; it does not change the verdict.
Severity = Literal["error", "warning", "note"]


class Degradation(NamedTuple):
    """One such state. A finding tells what is concerned, and often a more exact remedy."""

    #: Its name, for programs and rules: it never changes.
    reason: str
    level: Severity
    #: Both for people, without a full stop.
    meaning: str
    remedy: str


_LOG: Final = "see its log in logs/, and mend what it names"
_NOTHING: Final = "nothing has to be done"

DEGRADATIONS: Final = (
    # The service and its programs.
    Degradation("no_service", "error", "no service runs in the state directory, or it is not accessible", "`shardwatch up`"),
    Degradation("supervisord_silent", "error", "supervisord does not answer: what dies is not restarted", _LOG),
    Degradation("aggregator_silent", "error", "the aggregator does not answer: nothing is handed out", _LOG),
    Degradation("program_stopped", "error", "an operator has stopped a program", "`supervisorctl start NAME`"),
    Degradation("program_restarting", "error", "a program has ended and is started again", "if it stays so, see its log"),
    Degradation(
        "program_crashes", "error", "a program dies again and again, and nothing runs in its place between two attempts", _LOG
    ),
    Degradation("program_tried", "warning", "a program that has died again and again is tried again", _LOG),
    Degradation("stand_in", "warning", "a shard dies again and again, and a stand-in polls its subtrees", _LOG),
    Degradation(
        "program_stuck",
        "error",
        "a program was killed and still exists, because the kernel does not let go of it",
        "look for a disk or a network filesystem that hangs",
    ),
    Degradation("shard_silent", "error", "a shard gives no sign of life", _LOG),
    Degradation(
        "shard_version", "error", "a shard runs another version than the aggregator", "`shardwatch down`, then `shardwatch up`"
    ),
    # The state directory.
    Degradation(
        "storage",
        "error",
        "the databases can't be used: the disk is full, read-only or fails, or another program has them locked",
        "make room there, or make the state directory writable; the service goes on by itself",
    ),
    Degradation(
        "notice",
        "note",
        "a database was damaged, lost, restored or adapted to other settings since the aggregator started",
        "nothing; a group that cannot go on from where it was is told `fresh`",
    ),
    # What is watched.
    Degradation(
        "nothing_watched",
        "note",
        "no file is watched: there is none, or the filter leaves out all of them",
        "if files are expected, check roots, include and exclude; `shardwatch explain FILE` says why one is left out",
    ),
    Degradation("missing", "error", "a root, or a part of one, is not there", "make it again, or remove it from the roots"),
    Degradation("unmounted", "error", "the filesystem of a root is not mounted", "mount it again, or remove the root"),
    Degradation("unanswered", "error", "a filesystem does not answer", "mend its server, or `umount -l` it"),
    Degradation(
        "unreadable", "error", "a directory can't be read", "give the service's user read and execute permission on it"
    ),
    Degradation("too_deep", "error", "directories are nested so deeply that they are left out", "nest them less deeply"),
    Degradation(
        "not_followed",
        "warning",
        "links lead to more than is followed, or to what is not watched",
        "make it a root of its own, or remove the link",
    ),
    Degradation(
        "made_up",
        "note",
        "filesystems that the kernel makes up, such as /proc, are mounted below a root, and not watched",
        _NOTHING,
    ),
    Degradation(
        "polled",
        "warning",
        "directories are polled because no watches are left",
        "raise fs.inotify.max_user_watches, or exclude what need not be watched",
    ),
    Degradation(
        "polling_late",
        "warning",
        "more directories are polled than `poll_cpu_percent` suffices for",
        "raise poll_cpu_percent or poll_ms_max, or allow more watches",
    ),
    Degradation(
        "overflows",
        "warning",
        "the kernel's queue of a shard overflows again and again, so there are pauses between rescans",
        "raise fs.inotify.max_queued_events, use more shards, or exclude what changes most",
    ),
    Degradation(
        "memory",
        "warning",
        "a program needs more memory than `memory_mib_max`, so it is not started again for that",
        "raise memory_mib_max, use more shards, or exclude what need not be watched",
    ),
    Degradation("memory_over", "note", "a program has more memory than `memory_mib_max`, and is started again for it", _NOTHING),
    Degradation(
        "priority",
        "warning",
        "the kernel refuses the priority that is set",
        "allow it to the service's user, or change niceness or io_class",
    ),
    Degradation("polled_as_set", "note", "directories are polled because that was asked for, or for their filesystem", _NOTHING),
    Degradation("by_fanotify", "note", "fanotify watches what inotify has no room for", _NOTHING),
    Degradation("by_inotify", "note", "inotify watches what fanotify can't", _NOTHING),
    Degradation(
        "verified",
        "note",
        "the verification found changes without a hint, and repaired the index",
        "see docs/noticing.md for what leaves no hint; if it was none of that, check the disk of the state directory",
    ),
    Degradation(
        "unknown",
        "error",
        "a subtree is in a state that only a newer version knows",
        "install the version that runs as the service",
    ),
    # What is handed out.
    Degradation(
        "hold_spent",
        "warning",
        "a hold lasts longer than `hold_ms_max`, and batches flow although it is held",
        "remove the lock file if no git or hg runs there, or raise hold_ms_max",
    ),
    Degradation("held", "note", "batches are held back", "nothing; `shardwatch release` ends a hold that was made by hand"),
    Degradation(
        "set_aside",
        "warning",
        "a group has set paths aside: each attempt with them failed",
        "see `shardwatch dead list`; correct the worker, then `shardwatch dead retry`",
    ),
    Degradation(
        "tried_again",
        "note",
        "batches of a group were not acknowledged in time, or failed, and are handed out again",
        "if it stays so, see the logs of its workers, or raise lease_ms",
    ),
    Degradation(
        "behind",
        "note",
        "changes of a group have been pending for more than a quarter of an hour",
        "start more workers; `shardwatch groups drop NAME` if the group is not needed any more",
    ),
    Degradation("not_shipped", "warning", "`ship` can't publish, and changes wait in its group", "see logs/ship.log"),
    Degradation("no_page", "warning", "`web` can't serve the web page and the metrics", "see logs/web.log"),
)

BY_REASON: Final[Mapping[str, Degradation]] = {degradation.reason: degradation for degradation in DEGRADATIONS}
