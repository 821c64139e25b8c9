"""What `explain` has found out, in words: a sentence for each fact. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from shardwatch.shard.contract.limits import PATH_BYTES_MAX

from ..terminal.render import counted, duration, number, readable
from .reach import Why
from .rule_origin import DEFAULT, UNKNOWN

Fields = Mapping[str, Any]

_VERDICTS: Final = {True: "watched", False: "not watched", None: "it can't be told whether it is watched now"}
_WHAT: Final = {
    "file": "a file", "directory": "a directory", "link": "a link", "special": "neither a file nor a directory nor a link",
}  # fmt: skip


def headline(found: Fields) -> str:
    """The path, and the verdict."""
    return f"{readable(str(found['path']))}: {_VERDICTS[found['watched']]}"


def of(found: Fields) -> Iterator[str]:
    """All sentences about an explanation, `found` as `explain --json` prints it."""
    if "given" in found:
        yield f"{_path(found['given'])} leads there."
    yield from _reach(found)
    yield from _disk(found)
    yield from _owner(found)
    yield from _index(found)
    for row in found["rows"]:
        yield from _groups(row)
    for name in found["holds"]:
        yield f"Batches of all groups are held back now, by {readable(str(name))}."
    yield from _unknown(found)


# -- whether it is to be watched


def _reach(found: Fields) -> Iterator[str]:
    root, why = found["root"], Why(found["why"])
    if root is not None and why is not Why.ROOT:
        yield f"It lies below the root {_path(root)}."
    match why:
        case Why.OUTSIDE:
            yield "It lies below no root of this service."
        case Why.ROOT:
            yield "It is a root: what is in it is watched, and it is no event itself."
        case Why.NAMED:
            yield "It was named as a file to be watched, so the patterns do not concern it."
        case Why.NOT_NAMED:
            yield "This directory is watched only for the files in it that were named, and it is none of them."
        case Why.NOT_RECURSIVE:
            yield "Only what is directly in a root is watched (`recursive` is false)."
        case Why.TOO_LONG:
            yield f"Paths of more than {number(PATH_BYTES_MAX)} bytes are not watched."
        case Why.STATE_DIRECTORY:
            yield "It is a state directory of shardwatch, or lies in one; these are never watched."
        case Why.IGNORED:
            yield _ignored(found["ignored"], found["path"])
        case Why.LINK:
            yield f"{_path(found['disk']['at'])} is a link, which is not followed (`follow_symlinks` is false)."
        case Why.MADE_UP:
            at = _path(found["disk"]["at"])
            yield f"The kernel makes up what is at {at}, and such a filesystem is not watched below a root."
        case Why.SPECIAL:
            yield "Only files, links and directories are watched: sockets, devices and FIFOs are not."
        case Why.FILTER_KEEPS | Why.LEFT_OUT:
            pass
    if found["rule"] is not None:
        yield _rule(found["rule"], found["path"], is_directory=found["is_directory"])
    if found["watched"] is not False and found["is_directory"] and why is not Why.ROOT and not found["directories"]:
        yield "Directories are no events themselves (`directories` is false); the files in them are."
    if found["watched"] is not False and found["content_only"]:
        yield "A change that cannot have changed the content is no event (`content_only` is true)."


def _rule(rule: Fields, path: str, *, is_directory: bool) -> str:
    about = "it" if rule["at"] == path else f"the directory {_path(rule['at'])} above it"
    if rule["pattern"] is None:
        patterns = ", ".join(readable(str(one)) for one in rule["patterns"]) + (", ..." if rule["more"] else "")
        if rule["keeps"]:
            return f"Something in it may be watched: `include` is {patterns}."
        if is_directory or rule["at"] != path:
            below = "in it" if rule["at"] == path else f"in {_path(rule['at'])}"
            return f"No pattern of `include` can match anything {below}: it is {patterns}."
        return f"No pattern of `include` matches it: it is {patterns}."
    verb = "keeps" if rule["keeps"] else "leaves out"
    return f"The pattern {readable(str(rule['pattern']))} of `{rule['option']}` {verb} {about}; {_origin(rule)}."


def _origin(rule: Fields) -> str:
    match rule["origin"]:
        case str(source) if source == DEFAULT:
            return "it is one of the default patterns"
        case str(source) if source == UNKNOWN:
            return "where it comes from is not known, because an earlier version of shardwatch started the service"
        case source:
            line = f", line {rule['line']}" if rule["line"] is not None else ""
            return f"it comes from: {readable(str(source))}{line}"


# -- what is on the disk


def _disk(found: Fields) -> Iterator[str]:
    disk = found["disk"]
    if found["why"] in (Why.OUTSIDE, Why.LINK, Why.STATE_DIRECTORY, Why.MADE_UP):
        return
    match disk["obstacle"]:
        case "missing":
            yield f"It does not exist, because {_path(disk['at'])} does not exist."
        case "no directory":
            yield f"It does not exist, because {_path(disk['at'])} is no directory."
        case "unanswered":
            yield f"The filesystem of {_path(disk['at'])} does not answer, so nothing can be seen there; what was known stays."
        case "unreadable":
            why = f" ({disk['error']})" if disk["error"] else ""
            yield f"{_path(disk['at'])} can't be read by you{why}; while the service can't read it either, what was known stays."
        case _ if disk["what"] == "nothing":
            yield "It does not exist now."
        case _:
            size = "" if disk["size"] is None else f" of {_bytes(disk['size'])}, modified {_time(disk['mtime_ns'] / 1e9)}"
            yield f"It is {_WHAT[disk['what']]}{size}."


# -- who looks at it


def _owner(found: Fields) -> Iterator[str]:
    owner = found["owner"]
    if found["watched"] is False or found["root"] is None:
        return
    if owner is None:
        yield "There is no plan yet that says which shard looks at it."
        return
    state = ""
    if owner["state"] is not None:
        heard = "" if owner["silent_s"] is None else f", and was heard {owner['silent_s']:g} s ago"
        state = f"; its state is: {owner['state']}{heard}"
    yield f"Shard {owner['shard']} looks at it, as at all of {_path(owner['anchor'])}; its backend is {owner['backend']}{state}."
    for one in owner["degraded"]:
        yield f"{_path(one['path'])}: {_degraded(one)}."
    if owner["pending"]:
        names = counted(owner["pending"], "name")
        yield f"At its last report the shard had {names} to look at: `shardwatch sync` waits for that."
    if owner["unacked"]:
        messages = counted(owner["unacked"], "message")
        yield f"At its last report the index had {messages} of the shard to take in: `shardwatch sync` waits for that."
    if found["ready"] is False:
        yield "The first scan is not finished: what was not reached yet is reported once it is."
    if found["verify_period_s"]:
        within = f"and at least once within {duration(found['verify_period_s'])} (`verify_period_s`)"
    else:
        within = "and not without one (`verify_period_s` is 0)"
    yield f"It is looked at after each hint, {within}; a look that finds nothing new is not noted anywhere."


def _ignored(left_out: Fields, path: object) -> str:
    what = "it" if left_out["at"] == path else f"{_path(left_out['at'])}, and all that is in it,"
    if left_out["file"] is None:
        return f"With `ignore_files`, {what} is left out: `.git` is no part of a tree."
    pattern = readable(str(left_out["pattern"]))
    return f"Line {left_out['line']} of {_path(left_out['file'])}, `{pattern}`, leaves {what} out (`ignore_files` is true)."


def _degraded(one: Fields) -> str:
    reason = readable(str(one["reason"]))
    remedy = f" -> {readable(str(one['remedy']))}" if one["remedy"] else ""
    match one["state"]:
        case "polled" | "stand-in":
            some = counted(one["directories"], "directory")
            said = f"{some} at or below it polled instead of watched, so changes are seen later"
        case "fanotify" | "inotify":
            said = f"some directories at or below it watched by {one['state']}"
        case state:
            said = f"{state}"
    return f"{said} ({reason}){remedy}" if reason else f"{said}{remedy}"


# -- what is known of it


def _index(found: Fields) -> Iterator[str]:
    if found["index_trouble"]:
        yield f"What the index has of it is not known: {readable(found['index_trouble'])}."
        return
    if not found["rows"]:
        yield from _no_row(found)
    for row in found["rows"]:
        what = "directory" if row["is_directory"] else "file"
        tick = f"is number (tick) {row['tick']}, and " if row["is_event"] else ""
        seen = f"the last change {tick}was found by a look at {_time(row['observed_at'])}"
        if row["exists"]:
            size = "" if row["size"] is None else f" of {_bytes(row['size'])}"
            yield f"The index has it as a {what}{size}; {seen}."
        else:
            yield f"The index has it as a deleted {what}; {seen}."
        if row["agrees"]:
            yield "That is what is on the disk."
        elif row["agrees"] is False and found["watched"]:
            yield (
                "That is not what is on the disk: the change is on its way, or was not noticed. `shardwatch sync` waits for the "
                "former; `shardwatch audit` finds and repairs the latter."
            )


def _no_row(found: Fields) -> Iterator[str]:
    if found["why"] in (Why.ROOT, Why.OUTSIDE):
        return
    if not found["watched"] or found["disk"]["what"] == "unknown":
        yield "The index has nothing of it."
    elif found["disk"]["what"] == "nothing":
        yield "The index has nothing of it: it was never seen, or no group has to be told of its deletion any more."
    else:
        yield (
            "The index has nothing of it yet: the change is on its way, or was not noticed. `shardwatch sync` waits for the "
            "former; `shardwatch audit` finds and repairs the latter."
        )


# -- what groups were told


def _groups(row: Fields) -> Iterator[str]:
    if row["groups"] is None or not row["is_event"]:
        return
    if not row["groups"]:
        yield "There is no group yet that could be told."
    change = f"{'the change' if row['exists'] else 'the deletion'} {row['tick']}"
    for group in row["groups"]:
        yield f"Group {readable(str(group['name']))} {_standing(group, change)}."


def _standing(group: Fields, change: str) -> str:
    match group["standing"]:
        case "acknowledged":
            return f"was handed {change}, and has acknowledged it"
        case "leased":
            worker = f" by worker {readable(str(group['worker']))}" if group["worker"] else ""
            ends = duration(group["ends_in_s"])
            return f"was handed {change}, which is on lease{worker}: attempt {group['attempt']}, the lease ends in {ends}"
        case "retrying" if group["failures"]:
            reason = readable(str(group["reason"])) or "no reason given"
            return (
                f"will be handed {change} again in {duration(group['due_in_s'])}: it failed {counted(group['failures'], 'time')} "
                f"({reason})"
            )
        case "retrying":
            return f"will be handed {change} again, because it was given back"
        case "held":
            return f"will be handed {change} when an earlier state of the path is not on lease any more"
        case "set aside":
            reason = readable(str(group["reason"])) or "no reason given"
            return (
                f"has set {change} aside after {counted(group['attempts'], 'attempt')} ({reason}); it comes again when the file "
                "changes, or with `shardwatch dead retry`"
            )
        case "pending":
            return f"has not come to {change} yet: it is pending"
        case "before":
            return f"is not told of {change}: the group began, or was moved to, {group['position']}, and tells what is later"
        case "untold":
            return f"is not told of {change}: it was never told that the path exists"
        case "waiting":
            return f"is not told of {change}: it begins once the first scan is done"
        case "fresh":
            reason = readable(str(group["reason"]))
            return f"begins afresh ({reason}): it will be told to forget everything, and then of every file that exists"
        case standing:
            return f"says of {change}: {readable(str(standing))}"


# -- what is not known


def _unknown(found: Fields) -> Iterator[str]:
    if not found["running"]:
        yield (
            "No service runs now, so it is not known what groups were told; a change that was made meanwhile is found when the "
            "service starts again."
        )
    elif not found["answering"]:
        yield "The service does not answer, so it is not known how it watches and what groups were told: see `shardwatch status`."
    elif any(row["groups"] is None for row in found["rows"]):
        yield "What groups were told is not known: the service did not answer that, or is of an earlier version."


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{number(size)} bytes"


def _path(path: object) -> str:
    return readable(str(path))


def _time(seconds: float) -> str:
    """A time of the wall clock, in the time zone of the caller."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a file may have any number
        return f"{seconds:.0f} s after 1970"
