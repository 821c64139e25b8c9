"""What has changed in a configuration, and how each change is taken over by a service that runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from shardwatch.shard.contract.state import options
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.state.ship_section import ShipSection
from shardwatch.shard.contract.state.triggers import Trigger
from shardwatch.shard.contract.state.web_section import WebSection

from ..planning.continuity import go_on
from ..planning.named import shown_path, what_becomes
from ..plugin.names import SHIP, WEB
from ..service.changed_patterns import changed_patterns


class How(StrEnum):
    """How a change is taken over. The value is what people are told."""

    #: No program of the service keeps it in memory, or supervisord tells all of them.
    LIVE = "at once"
    #: The shards, and the aggregator where it tells of it, read it at their next beat, and go on.
    RUNNING = "by the running processes, within 2 s"
    #: Clients ask again meanwhile, and shards keep what is not committed.
    AGGREGATOR = "the aggregator is started again"
    #: Each looks at all of its part once more, as after any start.
    SHARDS = "the shards are started again"
    #: Other files are to be known, with another plan. With other roots the aggregator and the shards run on, as far as what they
    #: watch is the same (`planning.continuity`). With other filters they are started again.
    PLAN = "by a new plan"
    #: A command of the configuration, `ship` or `web`.
    STARTED = "its program is started"
    RESTARTED = "its program is started again"
    ENDED = "its program is ended"
    #: Not taken over by a service that runs.
    RESTART = "needs a restart of the whole service"


#: Every option, and how a change of it is taken over.
HOW: Final[dict[str, How]] = {
    options.ROOTS.name: How.PLAN,
    options.WAIT_FOR_ROOTS.name: How.LIVE,
    options.INCLUDE.name: How.PLAN,
    options.EXCLUDE.name: How.PLAN,
    options.DEFAULT_EXCLUDES.name: How.PLAN,
    options.IGNORE_FILES.name: How.PLAN,
    options.RECURSIVE.name: How.PLAN,
    options.FOLLOW_SYMLINKS.name: How.PLAN,
    options.DIRECTORIES.name: How.PLAN,
    options.CONTENT_ONLY.name: How.AGGREGATOR,
    options.FORGET_LEFT_OUT.name: How.AGGREGATOR,
    options.SETTLE_MS.name: How.RUNNING,
    options.SETTLE_MS_MAX.name: How.RUNNING,
    options.BATCH_SIZE_MAX.name: How.AGGREGATOR,
    options.BATCH_WAIT_MS.name: How.AGGREGATOR,
    options.LEASE_MS.name: How.AGGREGATOR,
    options.LEASES_MAX.name: How.AGGREGATOR,
    options.HOLD_FOR_VCS.name: How.SHARDS,
    options.HOLD_MS_MAX.name: How.AGGREGATOR,
    options.ATTEMPTS_MAX.name: How.AGGREGATOR,
    options.PRIORITIES.name: How.AGGREGATOR,
    options.QUEUE_SIZE_MAX.name: How.LIVE,
    options.RETENTION_DAYS.name: How.AGGREGATOR,
    options.REPLAY_S.name: How.AGGREGATOR,
    options.SHARDS.name: How.PLAN,
    options.REBALANCE_S.name: How.LIVE,
    options.BACKEND.name: How.PLAN,
    options.POLL_MS.name: How.RUNNING,
    options.POLL_MS_MAX.name: How.RUNNING,
    options.POLL_CPU_PERCENT.name: How.RUNNING,
    options.VERIFY_PERIOD_S.name: How.RUNNING,
    options.VERIFY_CPU_PERCENT.name: How.RUNNING,
    options.RESCAN_FILES_PER_S.name: How.RUNNING,
    options.MEMORY_MIB_MAX.name: How.RUNNING,
    options.NICENESS.name: How.RUNNING,
    options.IO_CLASS.name: How.RUNNING,
    options.IO_LEVEL.name: How.RUNNING,
    options.DURABILITY.name: How.AGGREGATOR,
    options.LOG_FORMAT.name: How.LIVE,
    options.LOG_LEVEL.name: How.LIVE,
    options.STATE_DIR.name: How.RESTART,
}
#: Options of the shards that have the aggregator started again too.
_BOTH: Final = frozenset({options.HOLD_FOR_VCS.name})


class Configuration(Struct, frozen=True, kw_only=True):
    """All that a service runs with."""

    settings: Settings
    triggers: tuple[Trigger, ...] = ()
    ship: ShipSection | None = None
    web: WebSection | None = None


class ConfigChange(Struct, frozen=True):
    """One thing that has changed."""

    #: An option, `exec.NAME`, `ship` or `web`.
    option: str
    #: What has changed, in words.
    text: str
    how: How

    def __str__(self) -> str:
        return f"{self.text} ({self.how})"


class Steps(Struct, frozen=True):
    """What is to be done to take over some changes."""

    #: A plan is to be made; then those shards are started again that can't go on with it.
    plan: bool = False
    #: The aggregator is started again; and all shards are.
    aggregator: bool = False
    shards: bool = False
    #: Commands of the configuration that are ended: changed ones begin again, with those that are new.
    commands: tuple[str, ...] = ()
    #: The same of the programs that have a section of their own, `ship` and `web`.
    programs: tuple[str, ...] = ()


def steps_between(before: Configuration, after: Configuration) -> Steps:
    """What is to be done to get from one configuration to another."""
    found = changes(before, after)
    how = {change.how for change in found}
    plan = How.PLAN in how
    anew = plan and not go_on(before.settings, after.settings)
    return Steps(
        plan=plan,
        aggregator=anew or How.AGGREGATOR in how or any(change.option in _BOTH for change in found),
        shards=anew or How.SHARDS in how,
        commands=tuple(trigger.name for trigger in before.triggers if trigger not in after.triggers),
        programs=tuple(name for name, was, now in _own_sections(before, after) if was is not None and was != now),
    )


def changes(before: Configuration, after: Configuration) -> list[ConfigChange]:
    """What is other in the second configuration, by option, in the order of the reference."""
    old, new = before.settings, after.settings
    return [
        *_roots(old, new),
        *_options(old, new),
        *_commands(before.triggers, after.triggers),
        *_programs(before, after),
    ]


def _roots(old: Settings, new: Settings) -> Iterator[ConfigChange]:
    name = options.ROOTS.name
    before, after = old.named(), new.named()
    for root in after:
        if root not in before:
            yield ConfigChange(name, f"root {shown_path(root)} is new: it is scanned", How.PLAN)
    for root in before:
        if root not in after:
            yield ConfigChange(name, f"root {shown_path(root)} is removed: {what_becomes(root, new)}", How.PLAN)
    if set(before) == set(after) and _kinds(old) != _kinds(new):
        yield ConfigChange(name, "a root is a file now, or a directory, that was the other", How.PLAN)


def _kinds(settings: Settings) -> tuple[frozenset[bytes], ...]:
    return tuple(frozenset(paths) for paths in (settings.roots, settings.files, settings.only))


def _options(old: Settings, new: Settings) -> Iterator[ConfigChange]:
    for name in options.OPTIONS:
        if name == options.ROOTS.name or name not in Settings.__struct_fields__:
            continue
        was, now = getattr(old, name), getattr(new, name)
        if was == now:
            continue
        if name in (options.INCLUDE.name, options.EXCLUDE.name):
            yield ConfigChange(name, f"{name}: {changed_patterns(f'{name}d', was, now)}", HOW[name])
        elif name == options.PRIORITIES.name:
            yield ConfigChange(name, f"{name}: {', '.join(_entries(was, now))}", HOW[name])
        else:
            yield ConfigChange(name, f"{name}: {_shown(was)} -> {_shown(now)}", HOW[name])
    if new.ignore_files and old.ignore_files and old.git_excludes != new.git_excludes:
        was_file, now_file = (shown_path(path) if path else "none" for path in (old.git_excludes, new.git_excludes))
        text = f"git's global excludes file: {was_file} -> {now_file}"
        yield ConfigChange(options.IGNORE_FILES.name, text, How.SHARDS)


def _entries(was: dict[str, int], now: dict[str, int]) -> Iterator[str]:
    for pattern in (*was, *(one for one in now if one not in was)):
        if was.get(pattern) != now.get(pattern):
            yield f"{_shown(pattern)}: {was.get(pattern, 'none')} -> {now.get(pattern, 'none')}"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _commands(before: Sequence[Trigger], after: Sequence[Trigger]) -> Iterator[ConfigChange]:
    old, new = ({trigger.name: trigger for trigger in triggers} for triggers in (before, after))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield _program(f"exec.{name}", was=name in old, remains=name in new)


def _programs(before: Configuration, after: Configuration) -> Iterator[ConfigChange]:
    for name, was, now in _own_sections(before, after):
        if was != now:
            yield _program(name, was=was is not None, remains=now is not None)


def _own_sections(before: Configuration, after: Configuration) -> Iterator[tuple[str, Struct | None, Struct | None]]:
    """Of each program with a section of its own: its name, the section that it has, and the one that it is to have."""
    yield SHIP, before.ship, after.ship
    yield WEB, before.web, after.web


def _program(section: str, *, was: bool, remains: bool) -> ConfigChange:
    if was and remains:
        return ConfigChange(section, f"[{section}] has changed", How.RESTARTED)
    if remains:
        return ConfigChange(section, f"[{section}] is new", How.STARTED)
    return ConfigChange(section, f"[{section}] is gone", How.ENDED)
