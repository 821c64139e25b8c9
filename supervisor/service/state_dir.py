"""Prepares the state directory of a service, and checks everything that can be checked before anything runs.

Wrong input is reported here, in one line with the remedy, and leaves nothing new on disk. Nothing here starts or stops
a process.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from shardwatch.shard.contract.causes import cause
from shardwatch.shard.contract.errors import InUseError, UsageError
from shardwatch.shard.contract.limits import IPC_PATH_BYTES_MAX
from shardwatch.shard.contract.state.claim import claim_directory, in_use
from shardwatch.shard.contract.state.contents import DIRECTORIES, examine, is_foreign
from shardwatch.shard.contract.state.directory import SERVICE_LOCK, TAG, TAG_TEXT, StateDirectory, write_private
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan, read_plan
from shardwatch.shard.contract.state.settings import Settings, read_settings, write_settings
from shardwatch.shard.contract.state.sources import Sources, write_sources
from shardwatch.shard.contract.state.triggers import Trigger, write_triggers

from ..host.scouting import Scouts, check_state_dir
from ..planning.named import is_refused, is_waited_for, shown_path, unwatchable, what_becomes, with_files
from .changed_patterns import changed_patterns

if TYPE_CHECKING:
    from msgspec import Struct

    from shardwatch.shard.contract.state.ship_section import ShipSection
    from shardwatch.shard.contract.state.web_section import WebSection

#: supervisord makes its socket under a temporary name first: a dot and its process id are added.
TEMPORARY_SUFFIX_BYTES: Final = 8
#: How long somebody else may have the directory's lock for a moment, seconds: a cleaner of temporary files, for one.
CLAIM_WAIT_S: Final = 1.0
_ELSEWHERE: Final = "give another --state-dir"
#: Settings that change which files are known.
_SWITCHES: Final = ("ignore_files", "recursive", "follow_symlinks", "directories")


class Prepared(Struct, frozen=True):
    """A state directory that is ready for a service (`child`)."""

    layout: Layout
    #: What the user should hear before anything runs, a line each: changed roots, changed filters, missing roots.
    notes: tuple[str, ...]
    #: True if the directory served before: what changed since then is delivered first.
    resumed: bool
    #: What the service runs with: of the roots, single files are told apart.
    settings: Settings
    #: The directory, claimed: `ChildService` hands it to the service, and nobody else can start one meanwhile. Let go of when
    #: this object goes.
    claim: StateDirectory | None = None


def prepare(
    state_dir: Path,
    settings: Settings,
    triggers: Sequence[Trigger] = (),
    ship: ShipSection | None = None,
    sources: Sources | None = None,
    web: WebSection | None = None,
    *,
    temporary: bool = False,
) -> Prepared:
    """Makes the state directory (mode 0700) and its files, and claims it for the service that is to be started; idempotent.

    `triggers`: commands that are to run with the service; `ship`: what it ships; `sources`: what all this comes from, None if it
    can't be read again; `web`: where it has its page served. `temporary`: the directory goes when the service ends, so the disk
    is not awaited.

    Raises:
        InUseError: a service runs there, or somebody else is starting one.
        UsageError: the directory, something in it, or a root at the first start, can't be used. Nothing new is left on disk then.
    """
    layout = Layout(os.path.abspath(state_dir))
    check_place(layout)
    with _undone_on_error(layout) as made:
        state = _claimed(layout, settings, made)
        state.close_to_others()
        examine(state)
        if state.held(SERVICE_LOCK):
            raise in_use(state.path)
        before = _settings_before(state)
        plan = _plan_before(state)
        settings = with_files(settings, before)
        _write_if_new(state, TAG, TAG_TEXT, made, durable=not temporary)  # by which a root in it is recognised
        notes = check_roots(settings, before, plan) + (_changes(before, settings) if before is not None else [])
        resumed = (before is not None and plan is not None) or state.identity_of("index.db") is not None
        if state.identity_of(".gitignore") is None:  # what the user has put there stays
            _write_if_new(state, ".gitignore", b"*\n", made, durable=not temporary)
        for name in DIRECTORIES:
            if state.make_directory(name):
                made.append(layout.state_dir / name)
        conf = Path(__file__).with_name("supervisord.conf").read_bytes()
        _write_if_new(state, "supervisord.conf", conf, made, durable=False)  # each start compares it
        if before != settings:
            made.append(layout.settings) if before is None else None
            write_settings(layout.settings, settings, durable=not temporary)
        if triggers and not layout.triggers.exists():
            made.append(layout.triggers)
        write_triggers(layout.triggers, triggers)
        if sources is not None and not layout.sources.exists():
            made.append(layout.sources)
        write_sources(layout.sources, sources, durable=not temporary)
        # What was not carried out, and what was asked for while the last service ran: this start reads everything anew.
        for name in ("reload.json", "plan-next.json", "run/log-levels.json"):
            state.remove(name)
        _write_section(layout.ship_section, ship, made)
        _write_section(layout.web_section, web, made)
        stamp_plan(layout, settings, plan)
    return Prepared(layout, tuple(notes), resumed, settings, state)


def _write_section(path: Path, section: Struct | None, made: list[Path]) -> None:
    is_there = path.exists()
    if section is None and not is_there:
        return
    from shardwatch.shard.contract.state.section_file import write_section  # most services have none

    if not is_there:
        made.append(path)
    write_section(path, section)


def mark(state_dir: Path) -> None:
    """Makes a directory that is to become a state directory (mode 0700), and marks it as one; idempotent.

    Raises UsageError for a directory that is another's, or holds another's files, or that can't be written.
    """
    layout = Layout(os.path.abspath(state_dir))
    with _undone_on_error(layout) as made:
        _make_directories(layout.state_dir, made)
        with StateDirectory(layout.state_dir) as state:
            if is_foreign(state):
                raise UsageError(f"{state.path} is not empty, and not a state directory of shardwatch", hint=_ELSEWHERE)
            state.close_to_others()
            examine(state)
            _write_if_new(state, TAG, TAG_TEXT, made)


def check_place(layout: Layout) -> None:
    """Raises UsageError where no state directory can be, whatever is there: for its name, or for its filesystem."""
    _check_name(layout)
    check_state_dir(layout.state_dir)


def check_usable(layout: Layout) -> None:
    """Raises UsageError where no service could have its state directory, also for what is there. Makes nothing."""
    check_place(layout)
    with _undone_on_error(layout):
        if os.path.lexists(layout.state_dir):
            _opened(layout).close()
        elif not (above := next(path for path in layout.state_dir.parents if path.exists())).is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(above))


def _check_name(layout: Layout) -> None:
    at = layout.state_dir
    name = os.fsencode(at)
    try:
        name.decode()
    except UnicodeDecodeError:
        raise UsageError(f"state directory {at!r} is not UTF-8, as supervisord wants it", hint=_ELSEWHERE) from None
    if any(byte < 0x20 or byte == 0x7F for byte in name):
        raise UsageError(f"state directory {str(at)!r} has a control character in its name", hint=_ELSEWHERE)
    room = path_bytes_max()
    if len(name) > room:
        raise UsageError(
            f"state directory {at} is too long for its sockets: {len(name)} bytes, {room} are possible", hint=_ELSEWHERE
        )


def path_bytes_max() -> int:
    """Longest path of a state directory, in bytes: with the longest of its sockets, it must fit a socket's address."""
    here = Layout("/")
    longest = max(len(os.fsencode(path)) for path in here.sockets())
    return IPC_PATH_BYTES_MAX - max(longest, len(os.fsencode(here.supervisor_socket)) + TEMPORARY_SUFFIX_BYTES)


def _claimed(layout: Layout, settings: Settings, made: list[Path]) -> StateDirectory:
    """The directory, opened and claimed; made where there is none. Raises InUseError, UsageError, OSError."""
    while True:
        if not os.path.lexists(layout.state_dir):
            check_roots(settings, None, None)  # before anything is made
            _make_directories(layout.state_dir, made)
        try:
            state = _opened(layout)
        except FileNotFoundError:
            if os.path.islink(layout.state_dir):
                raise
            continue  # somebody who failed has just removed it again
        claim_directory(state, CLAIM_WAIT_S)
        if state.in_place():
            return state


def _opened(layout: Layout) -> StateDirectory:
    """The directory that is there, if it can be one of ours. Raises UsageError, and FileNotFoundError where there is none."""
    try:
        state = StateDirectory(layout.state_dir)
    except NotADirectoryError:
        raise UsageError(f"state directory {layout.state_dir} is not a directory", hint=_ELSEWHERE) from None
    if not os.access(layout.state_dir, os.R_OK | os.W_OK | os.X_OK):
        raise _unwritable(layout.state_dir)
    if is_foreign(state):
        raise UsageError(f"{layout.state_dir} is not empty, and not a state directory of shardwatch", hint=_ELSEWHERE)
    return state


def _settings_before(state: StateDirectory) -> Settings | None:
    layout = Layout(state.path)
    try:
        return read_settings(layout.settings)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{layout.settings} can't be read: {error}", hint=f"remove it, or {_ELSEWHERE}") from None


def _plan_before(state: StateDirectory) -> Plan | None:
    layout = Layout(state.path)
    try:
        return read_plan(layout.plan)
    except msgspec.MsgspecError:
        return None  # the coordinator makes a new one
    except OSError as error:
        raise UsageError(f"{layout.plan} can't be read: {error.strerror}", hint=_ELSEWHERE) from None


def check_roots(settings: Settings, before: Settings | None, plan: Plan | None) -> list[str]:
    """What is waited for, in words. Raises UsageError for what can't be watched."""
    known = {anchor.root for anchor in plan.anchors} if plan is not None else set()
    known |= set(before.named()) if before is not None else set()
    notes = []
    with Scouts() as scouts:
        for path in settings.named():
            trouble = scouts.trouble_with(path)
            if not trouble:
                continue
            if not is_refused(trouble) and (path in known or scouts.is_silent(path)):
                notes.append(f"root {shown_path(path)} {trouble}: waiting for it, its files count as in doubt or gone until then")
            elif is_waited_for(path, trouble, settings):
                notes.append(f"{shown_path(path)} {trouble}: waiting for it; what appears there is reported as created")
            else:
                raise unwatchable(path, trouble)
        if settings.local_backend == "fanotify":
            from ..planning.whole import check_fanotify  # most services do without it

            notes += check_fanotify(settings.roots, scouts)
    return notes


def _changes(before: Settings, now: Settings) -> list[str]:
    """What is other than last time and changes which files are known. Pure."""
    gone = "forgotten, without events" if now.forget_left_out else "reported as deleted"
    old, new = before.named(), now.named()
    notes = [f"root {shown_path(root)} is new: it will be scanned" for root in new if root not in old]
    notes += [f"root {shown_path(root)} is no longer configured: {what_becomes(root, now)}" for root in old if root not in new]
    filters = [
        changed_patterns("included", before.include, now.include),
        changed_patterns("excluded", before.exclude, now.exclude),
        *(f"{name} {'on' if getattr(now, name) else 'off'}" for name in _SWITCHES if _differs(before, now, name)),
    ]
    said = ", ".join(filter(None, filters))
    if said:
        notes.append(f"filters changed: {said}; newly included files are scanned, newly excluded files are {gone}")
    return notes


def _differs(before: Settings, now: Settings, name: str) -> bool:
    return bool(getattr(before, name) != getattr(now, name))


@contextlib.contextmanager
def _undone_on_error(layout: Layout) -> Iterator[list[Path]]:
    """Collects what is made, and removes it again when the block fails; an OSError becomes a UsageError."""
    made: list[Path] = []
    try:
        yield made
    except InUseError:
        raise  # what was made is another's by now
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            what, remedy = cause(error)
            hint = f"{remedy}, or {_ELSEWHERE}" if remedy else _ELSEWHERE
            raise UsageError(f"state directory {layout.state_dir} can't be prepared: {what}", hint=hint) from None
        raise


def _unwritable(directory: Path) -> UsageError:
    """Why a directory that exists can't be written: its filesystem is read-only, or its mode forbids it."""
    read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
    why, remedy = cause(OSError(errno.EROFS, "")) if read_only else ("permission denied", "chmod u+rwx")
    return UsageError(f"state directory {directory} can't be written: {why}", hint=f"{remedy}, or {_ELSEWHERE}")


def _make_directories(directory: Path, made: list[Path]) -> None:
    """Makes a directory and what is missing above it; another may do the same meanwhile."""
    missing = [directory, *directory.parents]
    missing = missing[: next(i for i, path in enumerate(missing) if path.exists())]
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            made.append(path)


def _write_if_new(state: StateDirectory, name: str, content: bytes, made: list[Path], *, durable: bool = True) -> None:
    try:
        if state.read(name) == content:
            return
    except FileNotFoundError:
        made.append(state.path / name)
    state.write(name, content, durable=durable)


def stamp_plan(layout: Layout, settings: Settings, plan: Plan | None) -> None:
    """Tells supervisord's plugin whether the plan on disk serves these settings: its shards then start at once."""
    stamp = layout.plan_key
    if plan is not None:
        # Planning's imports take time, and a first start has no plan to judge.
        from ..planning.key import plan_key
        from ..planning.planning import still_fits, surroundings

        key = plan_key(settings)
        if still_fits(plan, settings, key, surroundings(settings)):
            write_private(stamp, key.encode("ascii"), durable=False)  # each start compares the plan, and writes it again
            return
    stamp.unlink(missing_ok=True)
