"""One gitignore pattern, compiled: over exact bytes, to what can be asked of a directory once and of a name quickly.

`parse` gives what pathspec 1.1's GitIgnoreSpecPattern means. Patterns of literals, `*`, `**` and backslash escapes are
compiled here; one with `?` or `[...]` is translated by pathspec, which is imported only then. For `filter`, and for
`supervisor.config` to refuse bad patterns early.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from shardwatch.shard.contract.errors import UsageError

#: How a pattern ends. OPEN (`X`): the path itself, or a directory above it. DIRECTORY (`X/`): only a directory
#: above it. UNDER (`X/**`): what is below X, as strong as a match of the path itself.
OPEN: Final = 0
DIRECTORY: Final = 1
UNDER: Final = 2

_PATHSPEC_OPEN = "(?:(?P<ps_d>/)|$)"
_PATHSPEC_MARK = "(?P<ps_d>/)"


class Segment:
    """One component of a pattern: literals and stars. `parts` are the literals between the stars."""

    __slots__ = ("match", "parts", "regex")

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.regex = b"[^/]*".join(map(re.escape, parts))
        self.match: Callable[[bytes], object]
        if len(parts) == 1:
            self.match = parts[0].__eq__
        else:
            self.match = re.compile(self.regex, re.DOTALL).fullmatch


class Rule:
    """One pattern: its place in the list, its sign, and what it matches."""

    __slots__ = ("above", "double", "index", "path", "positive", "segments", "strength", "tail", "through")

    def __init__(self, index: int, positive: bool) -> None:
        self.index = index
        self.positive = positive
        #: Components; None stands for an inner `**`. Empty: everything, or all not in the root.
        self.segments: list[Segment | None] = []
        #: Begins with `**/`: it may match at any depth.
        self.double = True
        self.tail = OPEN
        #: Strength with which it matches what is below a directory that it matches.
        self.strength = 1
        #: Of "directory/": whether the pattern matches what is below by the directory's path. None: by its last name.
        self.through: Callable[[bytes], object] | None = None
        #: Of "directory": whether the last component of the pattern applies to names in it. None: always.
        self.above: Callable[[bytes], object] | None = None
        #: Of a whole path as text, for a pattern that only pathspec translates: its match, or None.
        self.path: Callable[[str], re.Match[str] | None] | None = None

    def reaches(self, names: list[bytes]) -> bool:
        """Whether the pattern may match something below the directory with these components. True when in doubt."""
        if self.double or self.path is not None:
            return True
        for segment, name in zip(self.segments, names, strict=False):
            if segment is None:
                return True
            if not segment.match(name):
                return False
        return True


class Names:
    """Single-component patterns of one sign, joined: whether any of them matches a name."""

    __slots__ = ("literals", "positive", "prefixes", "regex", "suffixes")

    def __init__(self, segments: Iterable[Segment], positive: bool = True) -> None:
        literals, suffixes, prefixes, regexes = set(), set(), set(), set()
        for segment in segments:
            match segment.parts:
                case [literal]:
                    literals.add(literal)
                case [b"", suffix]:
                    suffixes.add(suffix)
                case [prefix, b""]:
                    prefixes.add(prefix)
                case _:
                    regexes.add(segment.regex)
        self.positive = positive
        self.literals = frozenset(literals)
        # A suffix that ends in another one adds nothing.
        self.suffixes = tuple(s for s in sorted(suffixes) if not any(s != t and s.endswith(t) for t in suffixes))
        self.prefixes = tuple(sorted(prefixes))
        self.regex = re.compile(b"|".join(sorted(regexes)), re.DOTALL).fullmatch if regexes else None

    def match(self, name: bytes) -> bool:
        return (
            name in self.literals
            or name.endswith(self.suffixes)
            or name.startswith(self.prefixes)
            or (self.regex is not None and self.regex(name) is not None)
        )

    def pick(self, names: Iterable[bytes]) -> list[bytes]:
        """The names that match."""
        literals, suffixes, prefixes, regex = self.literals, self.suffixes, self.prefixes, self.regex
        if not literals and not prefixes and regex is None:
            return [n for n in names if n.endswith(suffixes)]
        if regex is None:
            return [n for n in names if n in literals or n.endswith(suffixes) or n.startswith(prefixes)]
        return [n for n in names if n in literals or n.endswith(suffixes) or n.startswith(prefixes) or regex(n)]

    def drop(self, names: Iterable[bytes]) -> list[bytes]:
        """The names that do not match."""
        literals, suffixes, prefixes, regex = self.literals, self.suffixes, self.prefixes, self.regex
        if regex is None:
            return [n for n in names if not (n in literals or n.endswith(suffixes) or n.startswith(prefixes))]
        return [n for n in names if not (n in literals or n.endswith(suffixes) or n.startswith(prefixes) or regex(n))]


def parse(pattern: str, index: int = 0) -> Rule | None:
    """Compiles one pattern as pathspec 1.1's GitIgnoreSpecPattern does; None for a blank line or a comment.

    Raises UsageError for one that is no valid glob; also for an unclosed `[`, which git discards without a word.
    """
    text = pattern if pattern.endswith("\\ ") else pattern.rstrip()
    if not text or text.startswith("#") or text == "/":
        return None
    positive = not text.startswith("!")
    text = text.removeprefix("!")
    rule = Rule(index, positive)
    if any(c in text for c in "?[") or any("\udc80" <= c <= "\udcff" for c in text):
        return _by_pathspec(rule, pattern)
    parts = text.split("/")
    if not parts[0]:
        del parts[0]
        if not parts:
            raise _bad(pattern, "it names nothing")
    elif (len(parts) == 1 or (len(parts) == 2 and not parts[1])) and parts[0] != "**":
        parts.insert(0, "**")
    if "" in parts[:-1]:
        return None  # Two slashes in a row are in no path.
    directory_only = not parts[-1]
    if directory_only:
        parts[-1] = "**"
    parts = [part for i, part in enumerate(parts) if not (part == "**" and i and parts[i - 1] == "**")]
    rule.double = parts[0] == "**"
    if parts[-1] == "**":
        rule.tail, rule.strength = (DIRECTORY, 1) if directory_only else (UNDER, 2)
    if parts in (["**"], ["**", "*"]):
        # Everything; or, with a slash at the end, everything that is not directly in the root.
        rule.tail, rule.strength = (DIRECTORY, 1) if directory_only else (OPEN, 2)
        return rule
    if parts == ["**", "*", "**"]:
        return rule
    inner = parts[1 if rule.double else 0 : None if rule.tail == OPEN else -1]
    rule.segments = [None if part == "**" else Segment(_split(part, pattern)) for part in inner]
    if rule.double and len(rule.segments) == 1:
        return rule
    rule.through = _compile(rule, rule.segments, b"/").match
    if rule.tail == OPEN:
        above = rule.segments[:-1]
        if above:
            rule.above = _compile(rule, above, b"").fullmatch
        else:
            rule.above = b"".__eq__
    return rule


def _compile(rule: Rule, segments: Sequence[Segment | None], end: bytes) -> re.Pattern[bytes]:
    out = [b"(?:.+/)?" if rule.double else b""]
    slash = False
    for segment in segments:
        if segment is None:
            out.append(b"(?:/.+)?")
        else:
            out.append((b"/" if slash else b"") + (b"[^/]+" if segment.parts == [b"", b""] else segment.regex))
        slash = True
    return re.compile(b"".join(out) + end, re.DOTALL)


def _split(part: str, pattern: str) -> list[bytes]:
    """The literals between the stars of one component, escapes resolved. Consecutive stars are one."""
    literals = [""]
    escaped = star = False
    for c in part:
        if escaped or c not in "\\*":
            literals[-1] += c
            escaped = star = False
        elif c == "\\":
            escaped = True
        elif not star:
            literals.append("")
            star = True
    if escaped:
        raise _bad(pattern, "it ends in a backslash that escapes nothing")
    return [literal.encode("utf-8") for literal in literals]


def _by_pathspec(rule: Rule, pattern: str) -> Rule | None:
    """A pattern with `?` or `[...]`, translated by pathspec, with newlines as ordinary characters."""
    import warnings

    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    try:
        regex, include = GitIgnoreSpecPattern.pattern_to_regex(pattern)
        if regex is None or include is None:
            raise _bad(pattern, "a `[` is never closed")
        mark = regex
        if regex.endswith(_PATHSPEC_OPEN):
            head = regex.removesuffix(_PATHSPEC_OPEN)
            regex, mark = head + _PATHSPEC_OPEN.replace("$", r"\Z"), head + "/"
        else:
            strong = not regex.endswith(_PATHSPEC_MARK)
            rule.tail, rule.strength = (UNDER, 2) if strong else (DIRECTORY, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            rule.path = re.compile(regex, re.DOTALL).search
            through = re.compile(mark, re.DOTALL).search
    except (ValueError, re.error) as error:
        raise _bad(pattern, str(error).partition(":")[0]) from error
    rule.through = lambda slashed: through(slashed.decode("utf-8", "surrogateescape"))
    return rule


def printable(pattern: str) -> str:
    return pattern.encode("utf-8", "backslashreplace").decode("utf-8").replace("\n", "\\n")


def _bad(pattern: str, why: str) -> UsageError:
    return UsageError(f"bad pattern {printable(pattern)!r}: {why}", hint="patterns are gitignore's: see `git help gitignore`")
