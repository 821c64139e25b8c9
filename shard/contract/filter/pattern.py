"""One gitignore pattern, compiled into a question that is asked once per directory and a quick one that is asked for each
name.

Paths are exact bytes. `parse` gives a pattern the meaning that it has in pathspec 1.1's GitIgnoreSpecPattern. There is
no backtracking: for each pattern, the time to match a name or a path is proportional to its length, whatever the
pattern. Used by `filter`, and by `supervisor.config` to refuse bad patterns early.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import AnyStr, Final

from ..errors import UsageError

#: How a pattern ends. OPEN (`X`): the path itself, or a directory above it. DIRECTORY (`X/`): only a directory
#: above it. UNDER (`X/**`): what is below X, as strong as a match of the path itself.
OPEN: Final = 0
DIRECTORY: Final = 1
UNDER: Final = 2

#: Most patterns of one list, most characters of one, and of all: compiling them takes up to 2 s.
PATTERNS_MAX: Final = 1_000
PATTERN_CHARS_MAX: Final = 1_024
PATTERNS_CHARS_MAX: Final = 32_768


class Segment:
    """One component of a pattern. `parts` are the literals between the stars, if these are all that it is made of; one with `?`
    or `[...]` is about characters and not about bytes: it has no parts, but `text`, a regular expression."""

    __slots__ = ("match", "parts", "regex", "text")

    def __init__(self, parts: list[bytes], text: str = "") -> None:
        self.parts = parts
        self.text = text
        self.regex = _without_return(list(map(re.escape, parts)), b"(?>[^/]*?%b)", b"[^/]*") if parts else b""
        self.match: Callable[[bytes], object]
        if len(parts) == 1:
            self.match = parts[0].__eq__
        elif parts:
            self.match = re.compile(self.regex, re.DOTALL).fullmatch
        else:
            fullmatch = re.compile(text, re.DOTALL).fullmatch
            self.match = lambda name: fullmatch(name.decode("utf-8", "surrogateescape"))

    def may_end(self, suffixes: Iterable[bytes]) -> bool:
        """Whether it may match a name that ends in one of these. True when in doubt."""
        if not self.parts:
            return True
        last = self.parts[-1]
        if len(self.parts) == 1:
            return any(last.endswith(suffix) for suffix in suffixes)
        return any(last.endswith(suffix) or suffix.endswith(last) for suffix in suffixes)


def _without_return(pieces: list[AnyStr], between: AnyStr, rest: AnyStr) -> AnyStr:
    """A regular expression for pieces with stars between them. Each takes the first place where it fits, which leaves the most
    for those that follow, and keeps it (an atomic group): to try later places would take a time that grows with the length to the
    power of the number of stars."""
    if len(pieces) == 1:
        return pieces[0]
    middle = [between % piece for piece in pieces[1:-1]]
    return pieces[0] + pieces[0][:0].join(middle) + rest + pieces[-1]


class Chain:
    """Components of a pattern, with `**` (None) between some, against those of a path.

    Each run of components between two `**` takes the first place where it fits, as the pieces of a component do.
    """

    def __init__(self, segments: Sequence[Segment | None], *, double: bool) -> None:
        """`double`: a `**` comes before all."""
        self._runs: list[list[Segment]] = [[]]
        self._double = double
        for segment in segments:
            if segment is None:
                self._runs.append([])
            else:
                self._runs[-1].append(segment)

    def begins(self, path: bytes) -> bool:
        """Whether it matches the path, or a directory above it."""
        return self._place(path.split(b"/"), self._runs) is not None

    def is_whole(self, path: bytes) -> bool:
        """Whether it matches the path itself."""
        names = path.split(b"/") if path else []
        *runs, last = self._runs
        at = self._place(names, runs)
        if at is None:
            return False
        if not last and runs:
            return True
        begin = len(names) - len(last)
        fixed = not runs and not self._double
        return (begin == at if fixed else begin >= at) and _fits(last, names, begin)

    def _place(self, names: list[bytes], runs: list[list[Segment]]) -> int | None:
        """Where these runs end at the earliest."""
        at = 0
        for number, run in enumerate(runs):
            last = at if number == 0 and not self._double else len(names) - len(run)
            while at <= last and not _fits(run, names, at):
                at += 1
            if at > last:
                return None
            at += len(run)
        return at


def _fits(run: list[Segment], names: list[bytes], at: int) -> bool:
    return at + len(run) <= len(names) and all(segment.match(names[at + i]) for i, segment in enumerate(run))


class Rule:
    """One pattern: its place in the list, its sign, and what it matches."""

    __slots__ = ("above", "double", "index", "positive", "segments", "strength", "tail", "through")

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
        #: Of a directory's path: whether the pattern matches what is below. None: its last name tells.
        self.through: Callable[[bytes], bool] | None = None
        #: Of a directory's path: whether the last component of the pattern applies to names in it. None: always.
        self.above: Callable[[bytes], bool] | None = None

    def reaches(self, names: list[bytes]) -> bool:
        """Whether the pattern may match something below the directory with these components. True when in doubt."""
        if self.double:
            return True
        for segment, name in zip(self.segments, names, strict=False):
            if segment is None:
                return True
            if not segment.match(name):
                return False
        return True


class Names:
    """Single-component patterns of one sign, joined: whether any of them matches a name."""

    __slots__ = ("_among", "literals", "marks", "positive", "prefixes", "rest", "segments", "stars", "suffixes")

    def __init__(self, segments: Iterable[Segment], positive: bool = True) -> None:
        literals, suffixes, prefixes, regexes, texts, hints = set(), set(), set(), set(), set(), set()
        self.segments = tuple(segments)
        for segment in self.segments:
            match segment.parts:
                case []:
                    texts.add(segment.text)
                case [literal]:
                    literals.add(literal)
                case [b"", suffix]:
                    suffixes.add(suffix)
                case [prefix, b""]:
                    prefixes.add(prefix)
                case _:
                    regexes.add(segment.regex)
                    hints.add(max(segment.parts, key=len))
        self.positive = positive
        self.literals = frozenset(literals)
        # A suffix that ends in another one adds nothing.
        self.suffixes = tuple(s for s in sorted(suffixes) if not any(s != t and s.endswith(t) for t in suffixes))
        self.prefixes = tuple(sorted(prefixes))
        #: What the above do not tell; None where they tell all.
        self.rest = _joined(regexes, texts)
        #: All of it, for native code: the parts of each pattern (`Segment.parts`). None where one is about characters.
        self.stars = None if texts else tuple(sorted({tuple(segment.parts) for segment in self.segments}))
        #: Where none of these is in some names, with a slash before and after each, only `literals` can match one of them. Empty
        #: where that can't be said.
        self.marks: tuple[bytes, ...] = ()
        if not texts:
            marks = {*hints, *(suffix + b"/" for suffix in suffixes), *(b"/" + prefix for prefix in prefixes)}
            self.marks = tuple(sorted(marks))
        #: The last answer of `among`.
        self._among: tuple[Names, Names] | None = None

    def among(self, others: Names) -> Names:
        """Patterns that match those of the names that match `others` which match these, and as few patterns as may be: of names
        that end in `.json` none ends in `.bak`."""
        if others.literals or others.prefixes or others.rest is not None:
            return self
        if self._among is None or self._among[0] is not others:
            ends = others.suffixes
            self._among = others, Names([s for s in self.segments if s.may_end(ends)], self.positive)
        return self._among[1]

    def match(self, name: bytes) -> bool:
        return (
            name in self.literals
            or name.endswith(self.suffixes)
            or name.startswith(self.prefixes)
            or (self.rest is not None and bool(self.rest(name)))
        )

    def pick(self, names: Collection[bytes]) -> list[bytes]:
        """The names that match."""
        literals, suffixes, prefixes, rest = self.literals, self.suffixes, self.prefixes, self.rest
        if not literals and not prefixes and rest is None:
            if len(suffixes) == 1 and (b"/".join(names) + b"/").count(suffixes[0] + b"/") == len(names):
                return list(names)  # as in most directories
            return [n for n in names if n.endswith(suffixes)]
        if rest is None:
            return [n for n in names if n in literals or n.endswith(suffixes) or n.startswith(prefixes)]
        return [n for n in names if n in literals or n.endswith(suffixes) or n.startswith(prefixes) or rest(n)]

    def drop(self, names: Sequence[bytes]) -> list[bytes]:
        """The names that do not match."""
        if self.marks and len(self.marks) < 2 * len(names) and self.literals.isdisjoint(names):
            together = b"/%b/" % b"/".join(names)
            for mark in self.marks:
                if mark in together:
                    break
            else:
                return list(names)  # as in most directories
        literals, suffixes, prefixes, rest = self.literals, self.suffixes, self.prefixes, self.rest
        if rest is None:
            return [n for n in names if not (n in literals or n.endswith(suffixes) or n.startswith(prefixes))]
        return [n for n in names if not (n in literals or n.endswith(suffixes) or n.startswith(prefixes) or rest(n))]


def _joined(regexes: set[bytes], texts: set[str]) -> Callable[[bytes], object] | None:
    """Whether any of these matches all of a name."""
    exact = re.compile(b"|".join(sorted(regexes)), re.DOTALL).fullmatch if regexes else None
    if not texts:
        return exact
    text = re.compile("|".join(sorted(texts)), re.DOTALL).fullmatch
    if exact is None:
        return lambda name: text(name.decode("utf-8", "surrogateescape"))
    return lambda name: exact(name) or text(name.decode("utf-8", "surrogateescape"))


def check_bounds(patterns: Sequence[str]) -> None:
    """Raises UsageError where there are more or longer patterns than are taken."""
    if len(patterns) > PATTERNS_MAX:
        raise UsageError(f"{len(patterns):,} patterns are more than {PATTERNS_MAX:,}", hint="use fewer, with wildcards")
    for pattern in patterns:
        if len(pattern) > PATTERN_CHARS_MAX:
            why = f"it has {len(pattern):,} characters, of {PATTERN_CHARS_MAX:,} at most"
            raise UsageError(f"bad pattern {printable(pattern[:60])!r}...: {why}", hint="use several shorter ones")
    total = sum(map(len, patterns))
    if total > PATTERNS_CHARS_MAX:
        raise UsageError(
            f"the patterns have {total:,} characters, of {PATTERNS_CHARS_MAX:,} at most", hint="use fewer or shorter ones"
        )


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
    rule.segments = [None if part == "**" else _segment(part, pattern) for part in inner]
    if rule.double and len(rule.segments) == 1:
        return rule
    rule.through = Chain(rule.segments, double=rule.double).begins
    if rule.tail == OPEN:
        rule.above = Chain(rule.segments[:-1], double=rule.double).is_whole
    return rule


def _segment(part: str, pattern: str) -> Segment:
    if not any(c in "?[" or "\udc80" <= c <= "\udcff" for c in part):
        return Segment(_split(part, pattern))
    text = _without_return(_pieces(part, pattern), "(?>[^/]*?%s)", "[^/]*")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what will mean something else in a class one day
        try:
            return Segment([], text)
        except re.error as error:
            raise _bad(pattern, str(error).partition(" at position")[0]) from error


def _pieces(part: str, pattern: str) -> list[str]:
    """Regular expressions for what is between the stars of one component: each character of a name is one of its own there."""
    pieces = [""]
    at = 0
    while at < len(part):
        c = part[at]
        at += 1
        if c == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append("")
        elif c == "?":
            pieces[-1] += "[^/]"
        elif c == "[":
            end = _closing(part, at, pattern)
            pieces[-1] += _class(part[at:end])
            at = end + 1
        elif c == "\\":
            if at == len(part):
                raise _bad(pattern, "it ends in a backslash that escapes nothing")
            pieces[-1] += re.escape(part[at])
            at += 1
        else:
            pieces[-1] += re.escape(c)
    return pieces


def _closing(part: str, at: int, pattern: str) -> int:
    """Where the class that begins at `at`, after its bracket, ends: a bracket right at its beginning is one of its members."""
    end = at + (part[at : at + 1] in ("!", "^"))
    end = part.find("]", end + (part[end : end + 1] == "]"))
    if end < 0:
        raise _bad(pattern, "a `[` is never closed")
    if part[at:end].rpartition("[")[2].startswith(":") and part[end - 1] == ":":
        raise _bad(pattern, "classes with names are not known: write [0-9] for [[:digit:]], [a-z] for [[:lower:]]")
    return end


def _class(members: str) -> str:
    negated = members[0] in "!^"
    members = members[negated:]
    for special in "\\[&~|":
        members = members.replace(special, "\\" + special)
    return f"(?!/)[^{members}]" if negated else f"[{members}]"


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


def printable(pattern: str) -> str:
    return pattern.encode("utf-8", "backslashreplace").decode("utf-8").replace("\n", "\\n")


def _bad(pattern: str, why: str) -> UsageError:
    return UsageError(f"bad pattern {printable(pattern)!r}: {why}", hint="patterns are gitignore's: see `git help gitignore`")
