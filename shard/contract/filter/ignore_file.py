"""The rules of one ignore file: which names in a directory it ignores. Pure.

A file has the meaning that git gives to a `.gitignore`. Its patterns are relative to the directory that they are about, which
is not always the directory in which the file lies (`.git/info/exclude` is about the top of the repository). The last pattern
that matches decides, and `!` makes it one that does not ignore. That nothing below an ignored directory can be brought back
follows from the fact that nobody looks into it.

What does not depend on the name is decided once per directory (`IgnoreFile.table`). Nearly every name is matched by no
pattern, and is then answered by a set, a comparison of its end, and two regular expressions at most.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from .wildmatch import Wild, of_name, of_path

#: A larger ignore file counts as empty, and so does one with more lines, or with more wildcards (`*`, `?`, `[`). While it is
#: compiled, which takes a time in proportion to these, a shard does nothing else and gives no sign of life.
IGNORE_FILE_BYTES_MAX: Final = 1 << 20
IGNORE_FILE_LINES_MAX: Final = 20_000
IGNORE_FILE_WILDCARDS_MAX: Final = 20_000
#: Compiled files that are remembered. Many directories of one tree may have equal ones.
_FILES_MAX: Final = 256
_MARK: Final = b"\xef\xbb\xbf"


class IgnoreRule(NamedTuple):
    """One pattern of an ignore file."""

    #: Its line in the file, from 1, and the pattern as it is written there, without blanks at its end.
    line: int
    text: bytes
    #: It begins with `!`: what it matches is not ignored.
    negated: bool
    #: It ends with a slash: it matches only directories.
    directories_only: bool
    #: It has a slash elsewhere: it is compared with paths and not with names.
    on_path: bool
    wild: Wild


class Table:
    """The rules of one ignore file that may concern names in one directory: those of its files, or those of its directories."""

    def __init__(self, rules: list[IgnoreRule]) -> None:
        self._last_first = rules[::-1]
        names = [rule.wild for rule in rules if not rule.on_path]
        self._literals = frozenset(wild.literal for wild in names if wild.literal is not None)
        self._suffixes = tuple(sorted({wild.suffix for wild in names if wild.suffix is not None}))
        self._name = _joined({wild.regex for wild in names if wild.literal is None and wild.suffix is None})
        self._path = _joined({rule.wild.regex for rule in rules if rule.on_path})

    def find(self, prefix: bytes, name: bytes) -> IgnoreRule | None:
        """The rule that decides about a name; None: none does.

        Args:
            prefix: the directory of the name, relative to what the file is about, with a slash at its end; b"" if it is the same.
        """
        if not (
            name in self._literals
            or name.endswith(self._suffixes)
            or (self._name is not None and self._name(name))
            or (self._path is not None and self._path(prefix + name))
        ):
            return None
        for rule in self._last_first:
            if _matcher(rule.wild.regex)(prefix + name if rule.on_path else name):
                return rule
        return None


class IgnoreFile:
    """An ignore file that was read. Safe to share between threads: only caches change."""

    def __init__(self, content: bytes) -> None:
        self.rules = tuple(_rules(content))
        depths = {rule.wild.slashes for rule in self.rules if rule.on_path and rule.wild.slashes is not None}
        #: Depths at which there are patterns for just this depth; all others have the same table.
        self._depths = frozenset(depths)
        self._tables: dict[tuple[int | None, bool], Table | None] = {}

    def table(self, depth: int, *, directories: bool) -> Table | None:
        """What the file says of names in a directory; None: nothing, whatever the names.

        Args:
            depth: of the directory below the one that the file is about, which has 0.
            directories: whether the names are those of directories.
        """
        key = (depth if depth in self._depths else None, directories)
        if key not in self._tables:
            rules = [
                rule
                for rule in self.rules
                if (directories or not rule.directories_only)
                and (not rule.on_path or rule.wild.slashes is None or rule.wild.slashes == key[0])
            ]
            self._tables[key] = Table(rules) if rules else None
        return self._tables[key]


def is_too_large(content: bytes) -> bool:
    """Whether an ignore file that begins with this content counts as empty."""
    return (
        len(content) > IGNORE_FILE_BYTES_MAX
        or content.count(b"\n") >= IGNORE_FILE_LINES_MAX
        or sum(map(content.count, (b"*", b"?", b"["))) > IGNORE_FILE_WILDCARDS_MAX
    )


@functools.lru_cache(_FILES_MAX)
def ignore_file(content: bytes) -> IgnoreFile:
    """The rules of a file with this content. Never raises: git takes every content, too."""
    return IgnoreFile(b"" if is_too_large(content) else content)


def _rules(content: bytes) -> list[IgnoreRule]:
    found = []
    for number, line in enumerate(content.removeprefix(_MARK).split(b"\n"), 1):
        rule = _rule(line.removesuffix(b"\r").partition(b"\0")[0], number)
        if rule is not None:
            found.append(rule)
    return found


def _rule(line: bytes, number: int) -> IgnoreRule | None:
    """None for a comment, a blank line, and a pattern that matches nothing."""
    if line.startswith(b"#"):
        return None
    text = _without_blanks(line)
    pattern = text.removeprefix(b"!")
    directories_only = pattern.endswith(b"/")
    pattern = pattern.removesuffix(b"/")
    on_path = b"/" in pattern
    wild = of_path(pattern.removeprefix(b"/")) if on_path else of_name(pattern)
    if wild is None:
        return None
    return IgnoreRule(number, text, text.startswith(b"!"), directories_only, on_path, wild)


def _without_blanks(line: bytes) -> bytes:
    """The line without the spaces at its end. One after a backslash stays, and so do all before it."""
    end = len(line)
    while end and line[end - 1] == 0x20:
        end -= 1
    backslashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + 1] if backslashes % 2 else line[:end]


def _joined(regexes: set[bytes]) -> Callable[[bytes], object] | None:
    return _matcher(b"|".join(b"(?:%b)" % regex for regex in sorted(regexes))) if regexes else None


@functools.lru_cache(4096)
def _matcher(regex: bytes) -> Callable[[bytes], object]:
    return re.compile(regex, re.DOTALL).fullmatch
