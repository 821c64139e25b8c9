"""The configuration file that `shardwatch init` writes: what was found in the tree, what follows from it, and the options that
people change first, each with what it does. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shardwatch.shard.contract.state import options
from shardwatch.shard.contract.state.options import Option

#: Suffixes that are named.
SUFFIXES_MAX: Final = 8
#: Characters of a line, as in the rest of our texts.
_WIDTH: Final = 100
_AST_SUFFIX: Final = ".ast.json"
_AST: Final = ("*.ast.json", "**/ast/*.json")
_ALL: Final = ("*",)
#: Options that are shown with their defaults, commented out.
_SHOWN: Final[tuple[Option[Any], ...]] = (
    options.SETTLE_MS, options.SETTLE_MS_MAX, options.BATCH_SIZE_MAX, options.LEASE_MS, options.ATTEMPTS_MAX,
    options.RETENTION_DAYS, options.DURABILITY, options.SHARDS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the tree gave, without what the built-in excludes and the ignore files leave out."""

    files: int
    directories: int
    #: Not everything was looked at: there are more files and directories.
    more: bool
    #: (suffix with its dot, files), the most frequent first.
    suffixes: Sequence[tuple[str, int]]
    ignore_files: int
    #: Of network filesystems and the like: "TYPE at PATH", in one line each.
    remote: Sequence[str]
    #: Directories that need a watch each, and whether that is no estimate.
    watched: int
    exact: bool
    watches_allowed: int
    watches_used: int
    #: The command that makes room for the watches; "" if they fit.
    remedy: str


def include_for(suffixes: Sequence[tuple[str, int]], files: int) -> tuple[str, ...]:
    """What to watch in such a tree: AST JSON, if it is most of the tree; else every file."""
    asts = sum(count for suffix, count in suffixes if suffix == _AST_SUFFIX)
    return _AST if 2 * asts > files else _ALL


def counts(found: Found) -> str:
    """How many files and directories there are."""
    about = "more than " if found.more else ""
    return f"{about}{_counted(found.files, 'file')} in {_counted(found.directories, 'directory', 'directories')}"


def text(found: Found) -> str:
    """The whole file, a valid configuration."""
    return "\n".join(
        [
            *_comment(
                "What shardwatch watches here, and how. `shardwatch init` has written this from a look at the tree; change what "
                "you like. Commands show the values that are in force (shardwatch config) and what they come to (shardwatch "
                "plan); docs/configuration.md describes every option."
            ),
            "",
            *_comment("Relative paths begin at this file."),
            'roots = ["."]',
            "",
            *_files(found),
            "",
            *_ignored(found),
            "",
            *_watches(found),
            "",
            *_comment("What follows is commented out and shows the defaults."),
            *(line for option in _SHOWN for line in _default(option)),
            "",
            *_comment(
                "Where index, groups and logs are kept. By default that is a directory of this file's own below "
                "~/.local/state/shardwatch. If it lies below a root, leave it out (exclude)."
            ),
            '# state_dir = ".shardwatch"',
            "",
            *_comment("A command that runs for each file that changes, as long as the service runs (docs/exec.md)."),
            "# [exec.lint]",
            '# command = ["ruff", "check", "{}"]',
            "",
        ]
    )


def _files(found: Found) -> Iterable[str]:
    named = found.suffixes[:SUFFIXES_MAX]
    others = found.files - sum(count for _, count in named)
    kinds = [f"{count:,} {suffix}" for suffix, count in named] + ([f"{others:,} others"] if others and named else [])
    listed = f" ({', '.join(kinds)})" if kinds else ""
    yield from _comment(f"Without what is left out by default there are {counts(found)}{listed}.")
    include = include_for(found.suffixes, found.files)
    if include == _ALL:
        yield from _comment("All of them are watched." + (" The most frequent kinds alone would be:" if named else ""))
        if named:
            yield f"# include = {_value([f'*{suffix}' for suffix, _ in named])}"
    else:
        yield from _comment('Most of them hold ASTs, and these are watched. All files would be: include = ["*"]')
    yield f"include = {_value(include)}"
    yield from _comment(
        "What is left out besides, as patterns of a .gitignore. What version control, editors and build tools make is left out "
        "anyway, and so is JSON that configures tools (docs/configuration.md has the list). A pattern with an exclamation mark "
        'reverts that: "!/package.json".'
    )
    yield "# exclude = []"


def _ignored(found: Found) -> Iterable[str]:
    there = "is none yet" if not found.ignore_files else "is one" if found.ignore_files == 1 else f"are {found.ignore_files:,}"
    which = ".gitignore (in a git repository), .ignore and .shardwatchignore"
    yield from _comment(f"What {which} name is not watched. There {there}.")
    yield "ignore_files = true"


def _watches(found: Found) -> Iterable[str]:
    about = "" if found.exact else "about "
    need = f"{about}{_counted(found.watched, 'directory', 'directories')}, each of which needs a watch of inotify"
    yield from _comment(
        f"{need[:1].upper()}{need[1:]}. {found.watches_allowed:,} are allowed to you, {found.watches_used:,} in use."
    )
    if found.remedy:
        yield from _comment("They are too few: the rest would be polled. This makes room (for root):")
        yield f"#     {found.remedy}"
    for place in found.remote:
        yield from _comment(f"There is {place}. It is polled, since nothing tells what other machines change there.")
    yield f"# backend = {_value(options.BACKEND.default)}"
    if found.remote or found.remedy:
        yield from _default(options.POLL_MS)


def _default(option: Option[Any]) -> Iterable[str]:
    meaning = f"{option.text[:1].upper()}{option.text[1:]}"
    yield from _comment(f"{meaning} ({option.kind.allowed}).")
    yield f"# {option.name} = {_value(option.default)}"


def _value(value: Any) -> str:
    """As TOML has it, which for these is as in JSON."""
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list | tuple) else msgspec.json.encode(value).decode()


def _comment(words: str) -> list[str]:
    return textwrap.wrap(
        words, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _counted(value: int, one: str, many: str = "") -> str:
    return f"{value:,} {one if value == 1 else many or one + 's'}"
