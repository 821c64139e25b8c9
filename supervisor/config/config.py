"""The configuration: default, then `shardwatch.toml`, then `SHARDWATCH_*`, then command line; checked, with origins.

`resolve` gives the plain settings that every process reads (`shard.contract.state.settings`). Every error is a UsageError of one
line that names the option, where its value came from and what it may be. docs/configuration.md describes each option.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.state.trust import open_regular

from . import profile
from .default_place import default_place
from .effective import ENV_PREFIX, Found, default_state_dir, find_config, read_config, real_roots, shown
from .patterns import check_place, checked, split

#: Names the config file; wins over the search upwards, loses against `-c`.
ENV_FILE: Final = "SHARDWATCH_CONFIG"
PRIORITY_MAX: Final = 1_000


def _no_bool(value: object) -> object:
    """pydantic takes true for 1; a person who writes `shards = true` means something else."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool)]
Backend = Literal["auto", "inotify", "polling", "native"]
Durability = Literal["process", "power"]


class Config(BaseModel):
    """Every option, with its default, its range and what it does. The order is that of the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    roots: tuple[bytes, ...] = Field((), description="directories and single files to watch")
    wait_for_roots: bool = Field(False, description="wait for roots that do not exist yet")
    include: tuple[str, ...] = Field(profile.INCLUDE, description="files to keep; replaces the default patterns")
    exclude: tuple[str, ...] = Field((), description="files and directories to leave out, beside the default ones")
    default_excludes: bool = Field(True, description="leave out what editors, version control and build tools make")
    recursive: bool = Field(True, description="false: only the files directly in a root")
    follow_symlinks: bool = Field(False, description="go into links to directories")
    directories: bool = Field(False, description="report directories as events too")
    content_only: bool = Field(False, description="report no changes of mode, owner and attributes alone")
    forget_left_out: bool = Field(False, description="forget what other roots or filters leave out, without events")
    settle_ms: Whole = Field(50, ge=0, le=60_000, description="quiet time of a path before it is looked at")
    settle_ms_max: Whole = Field(1000, ge=0, le=600_000, description="longest wait for quiet")
    batch_size_max: Whole = Field(1000, ge=1, le=100_000, description="events in one batch")
    batch_wait_ms: Whole = Field(2000, ge=0, le=600_000, description="longest wait of a pull for a first event")
    lease_ms: Whole = Field(60_000, ge=100, le=86_400_000, description="time to ack a batch before it comes back")
    leases_max: Whole = Field(64, ge=1, le=10_000, description="unacked batches that one group may hold")
    hold_for_vcs: bool = Field(False, description="hold batches back while git or hg changes the files of a root")
    hold_ms_max: Whole = Field(60_000, ge=100, le=86_400_000, description="longest time for which batches are held back")
    attempts_max: Whole = Field(5, ge=1, le=1_000, description="failures after which a path is set aside")
    priorities: dict[str, Whole] = Field({}, description="pattern to priority; higher is served first")
    queue_size_max: Whole = Field(1_000_000, ge=1, le=100_000_000, description="rows of the Python API's EventQueue")
    retention_days: Number = Field(7.0, ge=0.01, le=3_650, description="days until an abandoned group is forgotten")
    replay_s: Number = Field(3600.0, ge=0, le=31_536_000, description="seconds that deletions stay for a rewind")
    shards: Whole = Field(0, ge=0, le=64, description="watching processes; 0 chooses")
    backend: Backend = Field("auto", description="how changes are noticed")
    poll_ms: Whole = Field(1000, ge=50, le=3_600_000, description="shortest time between two sweeps of what is polled")
    verify_period_s: Number = Field(86_400.0, ge=0, le=31_536_000, description="seconds to look at all once more; 0: never")
    durability: Durability = Field("process", description="what acked changes survive")
    state_dir: Path | None = Field(None, description="where index, groups, logs and sockets lie")


#: Command-line names, where there is one. `roots` are the command's arguments.
FLAGS: Final[Mapping[str, str]] = {
    "roots": "PATH...",
    "include": "--include GLOB",
    "exclude": "--exclude GLOB",
    "default_excludes": "--no-default-excludes",
    "directories": "--directories",
    "content_only": "--content-only",
    "forget_left_out": "--forget-left-out",
    "settle_ms": "--settle-ms N",
    "hold_for_vcs": "--hold-for-vcs",
    "wait_for_roots": "--wait-for-roots",
    "shards": "--shards N",
    "backend": "--backend NAME",
    "verify_period_s": "--verify-period-s N",
    "state_dir": "--state-dir DIR",
}


class Option(NamedTuple):
    """One option, for people."""

    name: str
    #: What it may be, as in "must be ...".
    range: str
    default: str
    env: str
    flag: str
    text: str


@dataclass(frozen=True)
class Resolved:
    settings: Settings
    state_dir: Path
    config_file: Path | None
    #: option -> "default" | "file PATH" | "env NAME" | "command line"; of `exclude`, which adds up, several with " + ".
    origins: dict[str, str]
    #: What each option was set to; `settings.exclude` is this one's `exclude` and the default patterns.
    config: Config
    #: What the caller should hear, a line each: configuration files that were found and do not count.
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Layer:
    origin: str
    values: dict[str, object]
    #: What relative paths in it are relative to.
    base: Path
    #: Whether `~` is the home directory (on a command line the shell has seen to it).
    tilde: bool


def resolve(
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Resolved:
    """Joins all layers. Roots need not exist, and there may be none: who starts a service checks that.

    Args:
        config_file: default: $SHARDWATCH_CONFIG, else the nearest shardwatch.toml in `cwd` or above; there may be none.
        overrides: what the command line gave, by option name; None counts as not given.

    Raises UsageError.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    given = config_file or (Path(environ[ENV_FILE]) if environ.get(ENV_FILE) else None)
    found = find_config(cwd) if given is None else _named(cwd / given)
    layers = [] if found.path is None else [_file_layer(found.path, found)]
    layers += _env_layers(environ, cwd)
    said = {name: value for name, value in (overrides or {}).items() if value is not None}
    _known(said, "command line")
    layers.append(_Layer("command line", said, cwd, tilde=False))
    return _join(layers, found, environ)


def options() -> list[Option]:
    """All options in the order of the reference, for help, `shardwatch config` and the documentation's test."""
    return [
        Option(
            name,
            _range(name),
            _default(name),
            ENV_PREFIX + name.upper(),
            FLAGS.get(name, ""),
            field.description or "",
        )
        for name, field in Config.model_fields.items()
    ]


def _default(name: str) -> str:
    match Config.model_fields[name].default:
        case None:
            return "$XDG_STATE_HOME/shardwatch/ID"
        case bool() as value:
            return str(value).lower()
        case tuple() as value:
            return ", ".join(value) or "none"
        case {}:
            return "none"
        case value:
            return str(value)


def _range(name: str) -> str:
    """What a value of this option must be."""
    field = Config.model_fields[name]
    kind: object = field.annotation
    match name:
        case "roots":
            return "a list of paths"
        case "include" | "exclude":
            return "a list of gitignore patterns"
        case "priorities":
            return f"a table of gitignore pattern to a whole number from {-PRIORITY_MAX} to {PRIORITY_MAX}"
        case "state_dir":
            return "a path"
    if kind is bool:
        return "true or false"
    if kind is not int and kind is not float:
        return "one of " + ", ".join(get_args(kind))
    low = next(m.ge for m in field.metadata if hasattr(m, "ge"))
    high = next(m.le for m in field.metadata if hasattr(m, "le"))
    return f"a {'whole ' if kind is int else ''}number from {low} to {high}"


def _named(path: Path) -> Found:
    """A file that the caller names is read whoever owns it, also by a link. Raises UsageError."""
    try:
        fd = open_regular(path, follow=True)
    except OSError as error:
        raise UsageError(
            f"can't read the config file {shown(path)}: {error.strerror}", hint="check the path given with -c"
        ) from error
    try:
        return Found(path, read_config(fd, path), os.fstat(fd).st_mode, ())
    finally:
        os.close(fd)


def _file_layer(path: Path, found: Found) -> _Layer:
    if found.mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"the config file {shown(path)} can be changed by others (mode {stat.S_IMODE(found.mode):04o})",
            hint=f"run: chmod go-w {shown(path)}",
        )
    try:
        values = tomllib.loads(found.content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: TOML, UTF-8, and numbers of 5,000 digits
        raise UsageError(f"{shown(path)} is no valid TOML: {_one_line(error)}") from error
    origin = f"file {shown(path)}"
    _known(values, origin)
    return _Layer(origin, values, Path(os.path.abspath(path)).parent, tilde=True)


def _env_layers(environ: Mapping[str, str], cwd: Path) -> list[_Layer]:
    """One layer for each variable; an empty one counts as unset.

    Of unknown ones only those that look like an option misspelt are errors: others may use the prefix too.
    """
    layers = []
    for variable in sorted(environ):
        value = environ[variable]
        if not variable.startswith(ENV_PREFIX) or variable == ENV_FILE or not value:
            continue
        name = variable.removeprefix(ENV_PREFIX).lower()
        origin = f"env {variable}"
        if name not in Config.model_fields:
            near = difflib.get_close_matches(name, Config.model_fields, n=1, cutoff=0.7)
            if near:
                meant = ENV_PREFIX + near[0].upper()
                raise UsageError(f"environment: unknown option {variable}", hint=f"did you mean {meant}?")
            continue
        layers.append(_Layer(origin, {name: _from_env(name, value, origin)}, cwd, tilde=True))
    return layers


def _from_env(name: str, value: str, origin: str) -> object:
    if name == "roots":
        return [path for path in value.split(os.pathsep) if path]
    if name not in ("include", "exclude", "priorities"):
        return value
    items = split(value)  # a pattern may hold a comma: in braces, or with one pattern a line
    if name != "priorities":
        return items
    pairs = {}
    for item in items:
        pattern, separator, number = item.rpartition("=")
        if not separator:
            raise UsageError(f"priorities ({origin}): {item!r} must be PATTERN=NUMBER")
        pairs[pattern.strip()] = number.strip()
    return pairs


def _join(layers: Sequence[_Layer], found: Found, environ: Mapping[str, str]) -> Resolved:
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Config.model_fields, "default")
    for layer in layers:
        for name, value in layer.values.items():
            if name == "roots":
                value = _roots(value, layer)
            elif name == "state_dir":
                value = Path(os.fsdecode(_absolute(value, "state_dir", layer)))
            elif name in ("include", "exclude", "priorities"):
                value = _patterns(name, value, layer.origin)
            if name == "exclude" and name in values:
                values[name] = [*values[name], *_patterns(name, value, layer.origin)]
                origins[name] += " + " + layer.origin
            else:
                values[name] = value
                origins[name] = layer.origin
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(values, origins, error))) from error
    if config.settle_ms_max < config.settle_ms:
        if origins["settle_ms_max"] != "default":
            low, high = (f"{n} = {getattr(config, n)} ({origins[n]})" for n in ("settle_ms", "settle_ms_max"))
            raise UsageError(f"{high} is less than {low}", hint="the cap must not be shorter than the quiet time")
        config = config.model_copy(update={"settle_ms_max": 2 * config.settle_ms})
        origins["settle_ms_max"] = "default (twice settle_ms)"
    settings = Settings(
        **config.model_dump(exclude={"default_excludes", "state_dir", "exclude"}),
        exclude=_excludes(config),
    )
    for name in ("include", "exclude", "priorities"):
        for pattern in getattr(config, name) if origins[name] != "default" else ():
            try:
                check_place(pattern, settings.roots)
            except UsageError as error:
                raise UsageError(f"{name} ({origins[name]}): {error.message}", hint=error.hint) from error
    state_dir = config.state_dir or default_place(default_state_dir(environ), found.path, settings.roots)
    return Resolved(settings, state_dir, found.path, origins, config, found.notes)


def _excludes(config: Config) -> tuple[str, ...]:
    """The default patterns, if wanted, then the user's. `!` and a default pattern, verbatim, takes that one back.

    As a negation it would do more than a person means: `!package.json` after `**/node_modules/**` would bring back, and
    so have watched, every package.json in there.
    """
    defaults = profile.EXCLUDE if config.default_excludes else ()
    taken = {pattern[1:] for pattern in config.exclude if pattern.startswith("!")} & set(defaults)
    return tuple(
        dict.fromkeys(
            [pattern for pattern in defaults if pattern not in taken]
            + [pattern for pattern in config.exclude if pattern[1:] not in taken or pattern[0] != "!"]
        )
    )


def _roots(value: object, layer: _Layer) -> list[bytes]:
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Iterable):
        raise UsageError(f"roots ({layer.origin}) must be {_range('roots')}")
    return list(real_roots([_absolute(item, "roots", layer) for item in value]))


def _absolute(value: object, name: str, layer: _Layer) -> bytes:
    if not isinstance(value, str | bytes | os.PathLike):
        raise UsageError(f"{name} = {value!r} ({layer.origin}) must be {_range(name)}")
    path = os.fsencode(value)
    if not path or b"\0" in path:
        raise UsageError(f"{name} ({layer.origin}): {os.fsdecode(path)!r} is no path", hint="give one that is not empty")
    if layer.tilde:
        path = os.path.expanduser(path)
    return os.path.join(os.fsencode(os.path.abspath(layer.base)), path)


def _patterns(name: str, value: object, origin: str) -> list[str] | dict[str, int]:
    """The value of `include`, `exclude` or `priorities`, checked. pydantic could not name the pattern at fault."""
    wanted = Mapping if name == "priorities" else (list, tuple)
    if not isinstance(value, wanted) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{name} ({origin}) must be {_range(name)}")
    if name == "include" and not value:
        raise UsageError(f"include ({origin}) is empty: nothing would be kept", hint="use ['*'] for every file")
    if not isinstance(value, Mapping):
        return checked(name, value, origin)
    numbers = {}
    for pattern, number in value.items():
        expanded = checked(name, [pattern], origin)
        if pattern.startswith("!"):
            raise UsageError(f"{name} ({origin}): {pattern!r} can't begin with !", hint="give it a priority of 0")
        try:
            numbers.update(dict.fromkeys(expanded, int(number)))
            bad = isinstance(number, bool | float) or abs(int(number)) > PRIORITY_MAX
        except (TypeError, ValueError):
            bad = True
        if bad:
            raise UsageError(
                f"priorities ({origin}): {pattern!r} = {number!r} must be a whole number "
                f"from {-PRIORITY_MAX} to {PRIORITY_MAX}"
            )
    return numbers


def _explain(values: Mapping[str, object], origins: Mapping[str, str], error: ValidationError) -> list[str]:
    names = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors(include_url=False))
    return [f"{name} = {_short(values[name])} ({origins[name]}) must be {_range(name)}" for name in names]


def _known(values: Mapping[str, object], origin: str) -> None:
    for name in values:
        if name not in Config.model_fields:
            raise _unknown(name, origin, list(Config.model_fields))


def _unknown(name: str, origin: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists the options"
    return UsageError(f"{origin}: unknown option {_short(name)}", hint=hint)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
