"""The layers of a configuration: the options that the file, each environment variable and the command line set, by name.

The values are as they were written, except that a list or table in a variable is already split. The only check made
here is that every name is that of an option.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from shardwatch.shard.compiled.choice import NATIVE_VARIABLE
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import OPTIONS, Kind, Paths, Patterns, Priorities

from .file import FoundConfig, shown, values_of
from .names import ENV_FILE, ENV_PREFIX, RUN_VARIABLES, WITHIN_VARIABLE

#: What a file may have beside options: sections.
_SECTIONS: Final = ("exec", "ship", "web")


class Layer(NamedTuple):
    """What one source sets."""

    #: "file PATH" | "env NAME" | "command line"
    origin: str
    values: Mapping[str, object]
    #: What relative paths in it are relative to.
    base: Path
    #: Whether `~` is the home directory (on a command line the shell has seen to it).
    tilde: bool
    #: Whether single values are texts, as a variable has them; elsewhere each has a type.
    texts: bool = False
    #: The sections `[exec.NAME]` of a file; None where it has none.
    sections: object = None
    #: The section `[ship]` of a file; None where it has none.
    ship: object = None
    #: The section `[web]` of a file; None where it has none.
    web: object = None


def layers(found: FoundConfig, environ: Mapping[str, str], overrides: Mapping[str, object], cwd: Path) -> list[Layer]:
    """All layers; a later one wins. Raises UsageError for what is no option."""
    some = [] if found.path is None else [_file_layer(found.path, found)]
    some += _env_layers(environ, cwd)
    said = {name: value for name, value in overrides.items() if value is not None}
    _check_names(said, "command line")
    return [*some, Layer("command line", said, cwd, tilde=False)]


def split(text: str) -> list[str]:
    """A list of patterns in one text: one a line where there are several lines, else separated by commas outside of braces."""
    if "\n" in text:
        items = text.split("\n")
    else:
        items, depth, escaped = [""], 0, False
        for c in text:
            if c == "," and depth == 0 and not escaped:
                items.append("")
                continue
            items[-1] += c
            if not escaped:
                depth = max(0, depth + (c == "{") - (c == "}"))
            escaped = c == "\\" and not escaped
    return [item.strip() for item in items if item.strip()]


def short(value: object) -> str:
    """A value in one line of an error."""
    whole = repr(value)
    return whole if len(whole) <= 60 else whole[:57] + "..."


def _file_layer(path: Path, found: FoundConfig) -> Layer:
    values = values_of(path, found)
    sections, ship, web = (values.pop(name, None) for name in _SECTIONS)
    origin = f"file {shown(path)}"
    _check_names(values, origin, _SECTIONS)
    return Layer(origin, values, Path(os.path.abspath(path)).parent, tilde=True, sections=sections, ship=ship, web=web)


def _env_layers(environ: Mapping[str, str], cwd: Path) -> Iterator[Layer]:
    """One layer for each variable, by name; an empty one counts as unset.

    Of unknown ones only those that look like an option misspelt are errors: others may use the prefix too.
    """
    for name in sorted(environ):
        value = environ[name]
        if not name.startswith(ENV_PREFIX) or name in (ENV_FILE, *RUN_VARIABLES, WITHIN_VARIABLE) or not value:
            continue
        if name == NATIVE_VARIABLE:  # no option: it is for whole processes, and each reads it by itself
            if value not in ("0", "1"):
                raise UsageError(f"environment: {name} is {short(value)}", hint="0 turns native code off, 1 does not")
            continue
        option = OPTIONS.get(name.removeprefix(ENV_PREFIX).lower())
        if option is not None:
            origin = f"env {name}"
            yield Layer(origin, {option.name: _from_text(option.kind, value, origin)}, cwd, tilde=True, texts=True)
        elif near := _nearest(name.removeprefix(ENV_PREFIX).lower(), 0.7):
            raise UsageError(f"environment: unknown option {name}", hint=f"did you mean {ENV_PREFIX + near.upper()}?")


def _from_text(kind: Kind, text: str, origin: str) -> object:
    """The value in a variable."""
    match kind:
        case Paths():
            return [path for path in text.split(os.pathsep) if path]
        case Patterns():
            return split(text)
        case Priorities():
            return dict(_pair(item, origin) for item in split(text))
        case _:
            return text


def _pair(item: str, origin: str) -> tuple[str, object]:
    """A pattern and its priority; what is no whole number stays a text, which is refused with the others' mistakes."""
    pattern, separator, number = item.rpartition("=")
    if not separator:
        raise UsageError(f"priorities ({origin}): {item!r} must be PATTERN=NUMBER")
    try:
        return pattern.strip(), int(number)
    except ValueError:
        return pattern.strip(), number.strip()


def _check_names(values: Mapping[str, object], origin: str, sections: Sequence[str] = ()) -> None:
    """`sections`: what else there may be, for the message."""
    for name in values:
        if name not in OPTIONS:
            near = _nearest(name.lower(), 0.6, sections)
            hint = f"did you mean {near}?" if near else "docs/configuration.md lists the options"
            raise UsageError(f"{origin}: unknown option {short(name)}", hint=hint)


def _nearest(name: str, cutoff: float, sections: Sequence[str] = ()) -> str:
    """The option or section whose name is most like this one, "" where none is."""
    import difflib  # for mistakes only

    return "".join(difflib.get_close_matches(name, [*OPTIONS, *sections], n=1, cutoff=cutoff))
