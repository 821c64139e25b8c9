"""Asks everybody who knows something about a path: the settings, the disk, the plan, the index, and the running service.

None of them is waited for longer than some seconds, and what one does not say, the others may.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from shardwatch.aggregator.index.reading import IndexReader, PathRow
from shardwatch.shard.contract.errors import NotRunningError, ServiceError, UsageError
from shardwatch.shard.contract.files.identity import alike
from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Owners, Plan, read_plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts

from ..audit.bounded_look import BoundedLook
from ..host.scouting import Scouts
from ..service import service
from ..service.served import served_settings
from . import sentences
from .ignored import ignored
from .on_disk import OnDisk, found_at
from .reach import Reach, Why, reach_of
from .rule_origin import origin_of

#: Seconds for each of the two answers of the service.
ANSWER_S: Final = 3.0

Fields = dict[str, Any]


class Explanation(NamedTuple):
    """Why an event of a path came, or did not come."""

    #: The path that is explained: absolute; can be opened, whatever bytes it consists of.
    path: str
    #: Whether the service watches it. None if that cannot be told now, because a filesystem or a directory cannot be read.
    watched: bool | None
    #: Everything that was found out, a sentence for each fact, and for each thing that is not known.
    sentences: tuple[str, ...]
    #: The same as `shardwatch explain --json` prints it (docs/formats.md).
    fields: Fields


def explain(state_dir: Path | str, path: Path | str | bytes) -> Explanation:
    """Explains why an event of a path came from the service in `state_dir`, or did not come. Changes nothing, and has nothing
    looked at.

    The service need not run: then it is not known what groups were told. Blocks for some seconds at most, whatever filesystem the
    path lies on.

    Args:
        path: absolute, or relative to the working directory. It need not exist. A slash at its end says that it is a directory.

    Raises UsageError for a wrong argument, NotRunningError if no service has ever run in `state_dir`.
    """
    layout = Layout(arguments.path("state_dir", state_dir))
    arguments.path("path", path)
    fields = explanation(layout, os.fsencode(path))
    exact = b64decoded(fields)
    return Explanation(os.fsdecode(exact), fields["watched"], tuple(sentences.of(fields)), fields)


def b64decoded(fields: Mapping[str, Any]) -> bytes:
    """The exact path in an object that has `path`, and `path_b64` where that is not exact."""
    from base64 import b64decode

    return b64decode(fields["path_b64"]) if "path_b64" in fields else str(fields["path"]).encode()


def explanation(layout: Layout, path: bytes) -> Fields:
    """The object that `explain --json` prints. `path` need not be exact. Raises NotRunningError, UsageError."""
    settings = _settings(layout)
    wanted = b"/" + os.path.abspath(path).lstrip(b"/")
    state_dir = os.fsencode(os.path.realpath(layout.state_dir))
    with Scouts() as scouts, BoundedLook(scouts, follow=settings.follow_symlinks) as look:
        exact = _below_a_root(settings, wanted, scouts)
        root = Nearest(settings.roots).of(exact)
        virtual = VirtualMounts(StillTable(scouts.mounts), settings.roots)
        disk = found_at(look, root, exact, follow=settings.follow_symlinks, virtual=virtual)
        running = service.running(layout)
        status, standings = _asked(layout, exact) if running else (None, None)
        rows, index_trouble = _rows(layout, exact)
        directory = _is_directory(path, disk, rows)
        reach = reach_of(settings, exact, state_dir, directory=directory)
        watched, why = _verdict(reach, disk)
        left_out = _ignored(settings, reach, exact, look, directory=directory) if watched is not False else None
        if left_out is not None:
            watched, why = False, Why.IGNORED
        rule = _rule(settings, reach, scouts) if why is reach.why else None
    engine = {} if status is None else status["status"]
    plan = _plan(layout)
    given = {} if exact == wanted else {"given": _text(wanted)}
    return {
        "format": 1,
        **_path_fields(exact),
        **given,
        "watched": watched,
        "why": str(why),
        "is_directory": directory,
        "state_dir": _text(state_dir),
        "running": running,
        "answering": status is not None,
        "ready": engine.get("ready"),
        "root": None if reach.root is None else _text(reach.root),
        "rule": rule,
        "ignored": left_out,
        "disk": _disk_fields(disk),
        "owner": _owner(plan, engine, exact, directory=directory) if watched is not False else None,
        "verify_period_s": settings.verify_period_s,
        "directories": settings.directories,
        "content_only": settings.content_only,
        "rows": [_row_fields(row, disk, standings) for row in rows],
        "index_trouble": index_trouble,
        "holds": [hold["name"] for hold in engine.get("holds", ()) if not hold["spent"]] if engine.get("held") else [],
    }


def _settings(layout: Layout) -> Settings:
    try:
        return served_settings(layout)
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunningError(
            f"no service has run in {layout.state_dir}",
            hint="start one with `shardwatch up PATH...`, or name another place with --state-dir",
        ) from None
    except OSError as error:
        reason = f"the state directory {shown(os.fspath(layout.state_dir))} can't be opened: {error.strerror}"
        raise UsageError(reason, hint="give the one of a service") from None


def _below_a_root(settings: Settings, path: bytes, scouts: Scouts) -> bytes:
    """The path itself; or, where that lies outside of all roots and its links lead to something inside, what they lead to."""
    roots = Nearest(settings.roots)
    if roots.of(path) is not None or path in settings.files:
        return path
    real = scouts.real(path)
    return real if roots.of(real) is not None or real in settings.files else path


def _rows(layout: Layout, path: bytes) -> tuple[list[PathRow], str]:
    """The rows of the index, and why it can't be read, or ""."""
    try:
        with IndexReader(layout.index_db) as reader:
            return reader.rows(path), ""
    except (ServiceError, UsageError) as error:
        return [], error.message
    except FileNotFoundError:
        return [], "there is no index yet"


def _is_directory(given: bytes, disk: OnDisk, rows: list[PathRow]) -> bool:
    """Whether the path is asked about as a directory: by what is there, else by what was there last, else by a slash."""
    if disk.what in ("nothing", "unknown"):
        return rows[-1].directory if rows else given.endswith(b"/")
    return disk.what == "directory"


def _verdict(reach: Reach, disk: OnDisk) -> tuple[bool | None, Why]:
    """Whether the path is watched, and why, when what is on the disk is considered too."""
    if not reach.watched:
        return reach.watched, reach.why
    if disk.obstacle == "link":
        return False, Why.LINK
    if disk.obstacle == "state directory":
        return False, Why.STATE_DIRECTORY
    if disk.obstacle == "made up":
        return False, Why.MADE_UP
    if disk.what == "special":
        return False, Why.SPECIAL
    return (None if disk.obstacle in ("unreadable", "unanswered") else True), reach.why


def _rule(settings: Settings, reach: Reach, scouts: Scouts) -> Fields | None:
    if reach.rule is None:
        return None
    kept, side, pattern, at = reach.rule
    found = {"option": side, "pattern": pattern, "keeps": kept, "at": _text(at)}
    if pattern is None:
        return {**found, "patterns": list(settings.include[:10]), "more": max(0, len(settings.include) - 10)}
    origin = origin_of(settings, side, pattern, scouts)
    return {**found, "origin": _valid(origin.source), "line": origin.line}


def _ignored(settings: Settings, reach: Reach, path: bytes, look: BoundedLook, *, directory: bool) -> Fields | None:
    if reach.root is None or reach.why is not Why.FILTER_KEEPS:
        return None
    found = ignored(settings, reach.root, path, look, directory=directory)
    if found is None:
        return None
    cause = found.cause
    return {
        "at": _text(found.at),
        "file": None if cause is None else _text(cause.source),
        "line": None if cause is None else cause.rule.line,
        "pattern": None if cause is None else _text(cause.rule.text),
    }


def _asked(layout: Layout, path: bytes) -> tuple[Fields | None, list[Fields] | None]:
    """What the service says of itself, and what its groups say of the path; None for what has no answer."""
    from base64 import b64encode

    from ..service.asker import Asker

    with Asker(layout) as asker:
        status = asker.ask("status", ANSWER_S)
        if status is None or "status" not in status:
            return None, None
        told = asker.ask("explain", ANSWER_S, path_b64=b64encode(path).decode("ascii"))
    return status, told["rows"] if told is not None and "rows" in told else None


def _plan(layout: Layout) -> Plan | None:
    try:
        return read_plan(layout.plan)
    except (OSError, msgspec.MsgspecError, UsageError):
        return None


def _owner(plan: Plan | None, engine: Mapping[str, Any], path: bytes, *, directory: bool) -> Fields | None:
    """The shard that looks at the path: of a directory the one that looks at what is in it."""
    about = path if directory else os.path.dirname(path)
    anchor = None if plan is None else Owners(plan.anchors).of(about)
    if anchor is None:
        return None
    shard: Fields = next((one for one in engine.get("shards", ()) if one["id"] == anchor.shard), {})
    names = ("state", "silent_s", "pending", "unacked")
    return {
        "shard": anchor.shard,
        "anchor": _text(anchor.path),
        "backend": shard.get("backend", anchor.backend),
        **{name: shard.get(name) for name in names},
        "degraded": [one for one in engine.get("degraded", ()) if _covers(str(one["path"]), _text(about))],
    }


def _covers(directory: str, path: str) -> bool:
    return (path + "/").startswith(directory.rstrip("/") + "/")


def _row_fields(row: PathRow, disk: OnDisk, standings: list[Fields] | None) -> Fields:
    told = None if standings is None else next((one for one in standings if one["is_directory"] is row.directory), {})
    known = disk.what != "unknown" and not disk.obstacle
    there = disk.what == "directory" if row.directory else disk.stat is not None
    agrees = there is bool(row.kind) and (row.directory or not row.kind or alike(row.stat, disk.stat))
    exists = bool(row.kind)
    return {
        "is_directory": row.directory,
        "exists": exists,
        "size": row.size if exists and not row.directory else None,
        "mtime_ns": row.mtime_ns if exists and not row.directory else None,
        "tick": (told or {}).get("tick", row.tick),
        "observed_at": row.at_ns / 1e9,
        "is_event": row.is_event,
        "agrees": agrees if known else None,
        "groups": None if told is None else told.get("groups", []),
    }


def _disk_fields(disk: OnDisk) -> Fields:
    return {
        "what": disk.what,
        "size": None if disk.stat is None else disk.stat[4],
        "mtime_ns": None if disk.stat is None else disk.stat[5],
        "obstacle": disk.obstacle,
        "at": None if disk.stop is None else _text(disk.stop),
        "error": disk.error,
    }


def _path_fields(path: bytes) -> dict[str, str]:
    from ..terminal.lines import path_fields

    return path_fields(path)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def _valid(text: str) -> str:
    from ..terminal.lines import valid

    return valid(text)
