"""Arguments that several commands share: which tree, and where the service is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.shown import cut, shown
from shardwatch.shard.contract.process.loading import Loading
from shardwatch.shard.contract.state.options import (
    INCLUDE,
    OPTIONS,
    STATE_DIR,
    Choice,
    Directory,
    Number,
    Option,
    Paths,
    Patterns,
    Switch,
    Whole,
)

from ..config.names import default_text, flag, metavar
from ..terminal.streams import say

if TYPE_CHECKING:
    from pathlib import Path

    from shardwatch.shard.contract.state.sources import Sources

    from ..config.resolve import Resolved

#: Environment variable that shows the traceback of a defect; no option, so the configuration must not see it.
DEBUG = "SHARDWATCH_DEBUG"


def add_tree_options(parser: argparse.ArgumentParser) -> None:
    """PATH... and what is watched below it: all options that the command line has, but the state directory, which more commands
    have (`add_state_dir_option`). Each overrides the environment, which overrides the configuration file."""
    tree = parser.add_argument_group("tree options")
    for option in _on_command_line():
        match option.kind:
            case Paths():
                parser.add_argument(option.name, nargs="*", metavar=metavar(option), help=option.text)
            case Directory():
                continue
            case Patterns():
                meaning = f"{option.text}; may be repeated"
                tree.add_argument(flag(option), action="append", metavar=metavar(option), help=meaning)
                if option is INCLUDE:
                    meaning = f"short for {flag(option)} by suffix: -e py,md is {flag(option)} '*.py' {flag(option)} '*.md'"
                    tree.add_argument("-e", dest=option.name, action="extend", type=suffixes, metavar="EXT,...", help=meaning)
            case Switch():
                meaning = f"do not {option.text}" if option.default else option.text
                other = not option.default
                tree.add_argument(flag(option), dest=option.name, action="store_const", const=other, help=meaning)
                if option.flag:
                    meaning = f"do not {option.text}"
                    tree.add_argument(f"--no-{option.flag}", dest=option.name, action="store_const", const=False, help=meaning)
            case Choice(names=names):
                meaning = f"{option.text} (default: {default_text(option)})"
                tree.add_argument(flag(option), choices=names, help=meaning)
            case Whole() | Number() as kind:
                meaning = f"{option.text} (default: {default_text(option)})"
                amount = whole if isinstance(kind, Whole) else number
                tree.add_argument(flag(option), type=amount, metavar=metavar(option), help=meaning)


class SectionParser(argparse.ArgumentParser):
    """Reads a section of the configuration, as arguments of a command. Its errors are UsageErrors that name the section."""

    def __init__(self, section: str, command: str) -> None:
        super().__init__(prog=section, allow_abbrev=False, add_help=False)
        self._command = command

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {cut(message)}", hint=f"its options are those of `shardwatch {self._command} --help`")


def whole(text: str) -> int:
    """A whole number on a command line. Raises argparse.ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number") from None


def number(text: str) -> float:
    """A number on a command line. Raises argparse.ArgumentTypeError."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number") from None


def suffixes(text: str) -> list[str]:
    """Patterns for suffixes that are separated by commas, each with or without its dot. Raises argparse.ArgumentTypeError."""
    names = [name.strip().removeprefix(".") for name in text.split(",")]
    for name in names:
        if not name or not set(name).isdisjoint("/*?[]{}!\\#"):
            message = f"{shown(name)} is no suffix of a file's name: give some like py,md, or patterns with --include"
            raise argparse.ArgumentTypeError(message)
    return [f"*.{name}" for name in names]


def add_config_option(parser: argparse.ArgumentParser, default: Any = None) -> None:
    meaning = "configuration file (default: the nearest shardwatch.toml in the working directory or above)"
    parser.add_argument("-c", "--config", dest="config_file", metavar="FILE", default=default, help=meaning)


def add_state_dir_option(
    parser: argparse.ArgumentParser, meaning: str = "state directory of the service", default: Any = None
) -> None:
    parser.add_argument(flag(STATE_DIR), metavar=metavar(STATE_DIR), default=default, help=meaning)


def add_change_options(parser: argparse.ArgumentParser) -> None:
    """Of commands that change what a running service does."""
    parser.add_argument("--dry-run", action="store_true", help="print what would change, and how; change nothing")
    parser.add_argument("--no-wait", action="store_true", help="return when it has changed, not when everything is scanned")


def add_json_option(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=what)


def overrides_of(options: argparse.Namespace) -> dict[str, object]:
    """The options given on the command line, by the names that they have in the configuration file."""
    given = {option.name: getattr(options, option.name, None) for option in _on_command_line()}
    return {name: value for name, value in given.items() if value is not None and value != []}


def resolve_tree(options: argparse.Namespace) -> Resolved:
    """The configuration, for a command that has the tree options. Raises UsageError."""
    return resolve_options(options, overrides_of(options))


def watched_tree(options: argparse.Namespace, *, ordinary: bool = False) -> Resolved:
    """What a service that is started with these options runs with. Raises UsageError, also where there is no root.

    `ordinary`: where nobody gives patterns, every file counts that is no noise, and not only AST JSON.
    """
    resolved = resolve_options(options, overrides_of(options), ordinary=ordinary)
    if not resolved.settings.roots:
        raise UsageError("no directory to watch", hint="give one: PATH..., or `roots` in the configuration")
    return resolved


def sources(options: argparse.Namespace, resolved: Resolved, state_dir: Path | None = None, *, ordinary: bool = False) -> Sources:
    """What a configuration comes from that `watched_tree` gave, so that its service can read it again.

    `state_dir`: where the service keeps its state if nothing in the configuration says so.
    """
    from ..config.again import sources_of
    from ..config.names import ENV_FILE

    environ = _environ()
    return sources_of(
        resolved,
        searched=_config_file(options) is None and not environ.get(ENV_FILE),
        overrides=overrides_of(options) | ({} if state_dir is None else {STATE_DIR.name: state_dir}),
        environ=environ,
        cwd=_cwd(options),
        ordinary=ordinary,
        umask=options.umask,
    )


def resolve_options(options: argparse.Namespace, overrides: Mapping[str, object], *, ordinary: bool = False) -> Resolved:
    """All layers of the configuration, with these on top. Warns of files that do not count. Raises UsageError."""
    with Loading():
        from ..config import profile
        from ..config.resolve import resolve

    defaults = profile.ORDINARY if ordinary else profile.AST
    resolved = resolve(
        config_file=_config_file(options), overrides=overrides, environ=_environ(), cwd=_cwd(options), defaults=defaults
    )
    warn(resolved.notes)
    return resolved


def _on_command_line() -> list[Option[Any]]:
    return [option for option in OPTIONS.values() if option.on_command_line]


def warn(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"shardwatch: warning: {note}")


def _config_file(options: argparse.Namespace) -> Path | None:
    from pathlib import Path

    file = getattr(options, "config_file", None)
    return None if file is None else Path(file)


def _cwd(options: argparse.Namespace) -> Path:
    """The working directory. Where it is gone, only absolute paths mean anything, and no configuration is found in it."""
    from pathlib import Path

    try:
        return Path.cwd()
    except OSError as error:
        named = [*getattr(options, "roots", []), getattr(options, "state_dir", None), getattr(options, "config_file", None)]
        relative = [path for path in named if path is not None and not path.startswith("/")]
        if relative:
            reason = f"{relative[0]!r} is relative to the working directory, which can't be found: {error.strerror}"
            raise UsageError(reason, hint="change to a directory that exists, or give absolute paths") from None
        return Path("/")


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != DEBUG}
