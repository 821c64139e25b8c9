"""Combines defaults, configuration file, environment and command line into the settings of a service, each with its
origin.

A later layer takes precedence. Every error is a UsageError of one line that names the option, the origin of its value,
and what it may be. docs/configuration.md describes each option.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state import options
from shardwatch.shard.contract.state.options import OPTIONS, Option
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.state.triggers import Trigger

from . import profile
from .default_place import default_place, default_state_dir
from .file import FoundConfig, find_config, named_config
from .layers import Layer, layers, short
from .names import ENV_FILE
from .paths import absolute, roots_of

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.ship_section import ShipSection
    from shardwatch.shard.contract.state.web_section import WebSection


class Resolved(NamedTuple):
    """A configuration with all layers joined."""

    settings: Settings
    state_dir: Path
    #: The file that had a say, None where there is none.
    config_file: Path | None
    #: Every option -> "default" | "file PATH" | "env NAME" | "command line"; of `exclude`, which adds up, several with " + ".
    origins: dict[str, str]
    #: Every option -> what it was set to, or its default. `settings` and `state_dir` have what is made of it: the default
    #: patterns are in `settings.exclude`, and the default place in `state_dir`.
    values: dict[str, Any]
    #: What the caller should hear, a line each: configuration files that were found and do not count.
    notes: tuple[str, ...]
    #: The sections `[exec.NAME]` of the file: commands that run with a service that `up` starts.
    triggers: tuple[Trigger, ...] = ()
    #: The section `[ship]` of the file: what such a service ships; None where it has none.
    ship: ShipSection | None = None
    #: The section `[web]` of the file: where such a service has its page served; None where it has none.
    web: WebSection | None = None


class _Joined(NamedTuple):
    """The value of each option that is set, and where each option's value comes from."""

    values: dict[str, Any]
    origins: dict[str, str]
    #: The options of which the value is a text (`Layer.texts`).
    texts: set[str]


def resolve(
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    defaults: profile.Profile = profile.AST,
    search: bool = True,
) -> Resolved:
    """Joins all layers. Roots need not exist, and there may be none: who starts a service checks that.

    Args:
        config_file: default: $SHARDWATCH_CONFIG, else the nearest shardwatch.toml in `cwd` or above; there may be none.
        overrides: what the command line gave, by option name; None counts as not given.
        defaults: patterns that count where no layer gives others.
        search: whether a file is searched for where none is named.

    Raises UsageError.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    given = config_file or (Path(environ[ENV_FILE]) if environ.get(ENV_FILE) else None)
    if given is not None:
        found = named_config(cwd / given)
    else:
        found = find_config(cwd) if search else FoundConfig(None, b"", 0, ())
    some = layers(found, environ, overrides or {}, cwd)
    joined = _join(some)
    values: dict[str, Any] = {name: option.default for name, option in OPTIONS.items()}
    values |= {options.INCLUDE.name: defaults.include, options.IGNORE_FILES.name: defaults.ignore_files}
    values |= joined.values | _scalars(joined)
    _fit_cap(values, joined.origins)
    settings = _settings(values, defaults, _pattern_origins(some))
    _check_places(settings, values, joined.origins)
    state_dir: Path = values[options.STATE_DIR.name] or default_place(default_state_dir(environ), found.path, settings.roots)
    return Resolved(
        settings, state_dir, found.path, joined.origins, values, (*found.notes, *_without_effect(values, joined.origins)),
        _triggers(some), _ship(some), _web(some),
    )  # fmt: skip


def _triggers(some: Sequence[Layer]) -> tuple[Trigger, ...]:
    layer = next((layer for layer in some if layer.sections is not None), None)
    if layer is None:
        return ()
    from .exec_sections import triggers_of  # most configurations have none

    return triggers_of(layer.sections, layer.origin, layer.base)


def _ship(some: Sequence[Layer]) -> ShipSection | None:
    layer = next((layer for layer in some if layer.ship is not None), None)
    if layer is None:
        return None
    from .ship_section import ship_section_of  # most configurations have none

    return ship_section_of(layer.ship, layer.origin, layer.base)


def _web(some: Sequence[Layer]) -> WebSection | None:
    layer = next((layer for layer in some if layer.web is not None), None)
    if layer is None:
        return None
    from .web_section import web_section_of  # most configurations have none

    return web_section_of(layer.web, layer.origin, layer.base)


def _join(some: Sequence[Layer]) -> _Joined:
    """A later layer wins, except that patterns to leave out add up. Single values are not yet checked. Raises UsageError."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(OPTIONS, "default")
    texts: set[str] = set()
    for layer in some:
        for name, written in layer.values.items():
            (texts.add if layer.texts else texts.discard)(name)
            value = _converted(OPTIONS[name], written, layer)
            if name == options.EXCLUDE.name and name in values:
                values[name] += value
                origins[name] += " + " + layer.origin
            else:
                values[name] = value
                origins[name] = layer.origin
    return _Joined(values, origins, texts)


def _converted(option: Option[Any], value: object, layer: Layer) -> Any:
    """A value as the settings have it, checked where that needs its layer. Raises UsageError."""
    match option.kind:
        case options.Paths():
            return roots_of(option, value, layer)
        case options.Directory():
            return Path(os.fsdecode(absolute(option, value, layer)))
        case options.Patterns() | options.Priorities():
            from . import pattern_options  # not on the way to a service that is given paths alone

            return pattern_options.value_of(option, value, layer.origin)
        case _:
            return value


def _scalars(joined: _Joined) -> dict[str, Any]:
    """The single values that are set, checked and converted. Raises UsageError, which names all that are wrong."""
    values: dict[str, Any] = {}
    wrong = []
    for name, option in OPTIONS.items():
        if name not in joined.values or not isinstance(option.kind, options.Scalar):
            continue
        from . import scalars  # and with it pydantic

        written = joined.values[name]
        try:
            values[name] = scalars.value_of(option, written, text=name in joined.texts)
        except ValueError as error:
            wrong.append(f"{name} = {short(written)} ({joined.origins[name]}) {error}")
    if wrong:
        raise UsageError("; ".join(wrong))
    return values


def _fit_cap(values: dict[str, Any], origins: dict[str, str]) -> None:
    """The longest wait for quiet follows a longer quiet time, in place, where nobody has set it. Raises UsageError."""
    quiet, cap = options.SETTLE_MS.name, options.SETTLE_MS_MAX.name
    if values[cap] >= values[quiet]:
        return
    if origins[cap] != "default":
        low, high = (f"{name} = {values[name]} ({origins[name]})" for name in (quiet, cap))
        raise UsageError(f"{high} is less than {low}", hint="the maximum must not be shorter than the debounce time")
    values[cap] = 2 * values[quiet]
    origins[cap] = "default (twice settle_ms)"


def _without_effect(values: dict[str, Any], origins: dict[str, str]) -> Iterator[str]:
    """A note for each option that is set and means nothing beside another one."""
    level, io_class = options.IO_LEVEL.name, options.IO_CLASS.name
    if origins[level] != "default" and values[io_class] != "best-effort":
        said = f"{level} = {values[level]} ({origins[level]})"
        yield f"{said} has no effect with {io_class} = {values[io_class]}, only with best-effort"


def _pattern_origins(some: Sequence[Layer]) -> dict[str, dict[str, str]]:
    if not any(name in layer.values for layer in some for name in (options.INCLUDE.name, options.EXCLUDE.name)):
        return {}
    from . import pattern_options

    return pattern_options.origins(some)


def _settings(
    values: Mapping[str, Any], defaults: profile.Profile, pattern_origins: dict[str, dict[str, str]]
) -> Settings:
    own = {name: value for name, value in values.items() if name in Settings.__struct_fields__}
    own[options.EXCLUDE.name] = _excludes(
        own[options.EXCLUDE.name], defaults.exclude if values[options.DEFAULT_EXCLUDES.name] else ()
    )
    return Settings(**own, pattern_origins=pattern_origins)


def _excludes(patterns: Sequence[str], defaults: Sequence[str]) -> tuple[str, ...]:
    """The default patterns, then the user's. `!` and a default pattern, verbatim, takes that one back.

    As a negation it would do more than a person means: `!package.json` after `**/node_modules/**` would bring back, and
    so have watched, every package.json in there.
    """
    taken = {pattern[1:] for pattern in patterns if pattern.startswith("!")} & set(defaults)
    return tuple(
        dict.fromkeys(
            [pattern for pattern in defaults if pattern not in taken]
            + [pattern for pattern in patterns if pattern[1:] not in taken or pattern[0] != "!"]
        )
    )


def _check_places(settings: Settings, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """No pattern that somebody gave may be an absolute path. Raises UsageError."""
    for option in (options.INCLUDE, options.EXCLUDE, options.PRIORITIES):
        if origins[option.name] == "default":
            continue
        from . import pattern_options

        pattern_options.check_places(option.name, values[option.name], origins[option.name], settings.roots)
