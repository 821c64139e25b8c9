"""Decides which paths are in scope, by include and exclude patterns with the meaning of gitignore. Written for the hot
path.

pathspec's `GitIgnoreSpec` defines the meaning, and a property test checks that both are equal. There are two
exceptions, in which this module does what git does: a newline in a name is an ordinary character, and a class such as
`[!a]` never matches a slash.

Paths are exact bytes. What depends only on the path of a directory is decided once per directory and remembered. What
remains for a name is a lookup in a few sets, suffixes and prefixes. This module never accesses the disk.

pathspec decides as follows. Of the patterns that match, the last one counts. But a match of the path itself, or by
`X/**` (strength 2 here), takes precedence over any match of a directory above it by `X` or `X/` (strength 1), whatever
the order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from .pattern import DIRECTORY, OPEN, Names, Rule, Segment, check_bounds, parse, printable

#: Directories whose verdict is remembered; when full, the older half is forgotten (a verdict costs a few microseconds). The later
#: half stays: it holds those above the directory of this moment, which may be nested deeper than this.
DIRECTORIES_REMEMBERED_MAX: Final = 512
#: Programs (distinct verdicts of a directory) remembered.
_PROGRAMS_MAX: Final = 1_024


#: Matches no name.
_NONE: Final = Names(())


class Decision(NamedTuple):
    """Whether a path is in scope, and what decides that."""

    kept: bool
    #: The list that decides: `include` or `exclude`.
    side: str
    #: The pattern of that list that decides, as it is written there; None: no pattern of `include` matches.
    pattern: str | None
    #: What the pattern matches: the path itself, or a directory above it; relative to the root.
    at: bytes


class _Program:
    """What one side says of the names in a directory: the first group that matches decides, else `base`."""

    __slots__ = ("base", "groups")

    def __init__(self, base: bool, groups: tuple[Names, ...]) -> None:
        self.base = base
        self.groups = groups

    def matches(self, name: bytes) -> bool:
        for group in self.groups:
            if group.match(name):
                return group.positive
        return self.base


class _Through(tuple[int, int]):
    """Of a directory: the last pattern that matches all below it with strength 2, and with strength 1; -1 for none."""

    __slots__ = ()


class _Side:
    """The include patterns, or the exclude patterns."""

    def __init__(self, patterns: Sequence[str]) -> None:
        check_bounds(patterns)
        rules = [rule for i, pattern in enumerate(patterns) if (rule := parse(pattern, i)) is not None]
        self.ordered = any(not rule.positive for rule in rules)
        if not self.ordered:
            rules = _without_covered(rules)
        self.rules = {rule.index: rule for rule in rules}
        self._last_first = sorted(rules, key=lambda rule: -rule.index)
        self._long = [rule for rule in self._last_first if rule.above is not None]
        single = [rule for rule in self._last_first if rule.through is None and rule.segments]
        self._single = [(rule, rule.segments[0]) for rule in single if rule.segments[0] is not None]
        self._single_names = Names(segment for _, segment in self._single)
        others = [rule for rule in self._last_first if rule.through is not None]
        #: A longer pattern can only begin to match at a directory whose name its last component matches.
        self._others = [(rule, rule.segments[-1]) for rule in others]
        self._other_names = Names(last for _, last in self._others if last is not None)
        #: What is the same for a directory as for its parent, unless the directory's own name says otherwise.
        self.uniform = not self._long and all(rule.double for rule in rules)
        everything = [rule for rule in rules if not rule.segments]
        self._in_root = _strongest(rule for rule in everything if rule.tail == OPEN)
        self._below_root = _strongest(everything)
        self._programs: dict[tuple[int, int, tuple[int, ...]], _Program] = {}

    def root(self) -> _Through:
        return self._in_root

    def turning(self) -> Iterator[Segment]:
        """The last components of all patterns: unless one of them matches its name, `enter` returns for a directory what it got
        for the parent, unless that is the root."""
        yield from (segment for _, segment in self._single)
        yield from (last for _, last in self._others if last is not None)

    def enter(self, parent: _Through, path: bytes, name: bytes) -> _Through:
        """What matches all below `path`, given what does below its parent; `name` is its last component."""
        strong, weak = parent
        first = self._below_root
        if first != parent:
            strong, weak = max(strong, first[0]), max(weak, first[1])
        if self._single_names.match(name):
            for rule, segment in self._single:
                if rule.index > (strong if rule.strength == 2 else weak) and segment.match(name):
                    strong, weak = (rule.index, weak) if rule.strength == 2 else (strong, rule.index)
        if self._others and self._other_names.match(name):
            for rule, last in self._others:
                if (
                    rule.index > (strong if rule.strength == 2 else weak)
                    and (last is None or last.match(name))
                    and rule.through is not None
                    and rule.through(path)
                ):
                    strong, weak = (rule.index, weak) if rule.strength == 2 else (strong, rule.index)
        if (strong, weak) == parent:
            return parent
        return _Through((strong, weak))

    def base(self, through: _Through) -> bool:
        strong, weak = through
        at = strong if strong >= 0 else weak
        return at >= 0 and self.rules[at].positive

    def program(self, through: _Through, path: bytes) -> _Program:
        """The program for names directly in the directory `path`."""
        strong, weak = through
        apply = tuple(rule.index for rule in self._long if rule.index > strong and rule.above and rule.above(path))
        key = (strong, weak, apply)
        program = self._programs.get(key)
        if program is None:
            if len(self._programs) >= _PROGRAMS_MAX:
                self._programs.clear()
            program = self._programs[key] = self._build(through, set(apply))
        return program

    def _build(self, through: _Through, apply: set[int]) -> _Program:
        base = self.base(through)
        runs: list[tuple[bool, list[Segment]]] = []
        for rule in self._last_first:
            if rule.index <= through[0]:
                break
            if rule.tail != OPEN or not rule.segments:
                continue
            if rule.above is not None and rule.index not in apply:
                continue
            last = rule.segments[-1]
            assert last is not None
            if not runs or runs[-1][0] != rule.positive:
                runs.append((rule.positive, []))
            runs[-1][1].append(last)
        while runs and runs[-1][0] == base:
            runs.pop()
        return _Program(base, tuple(Names(segments, positive) for positive, segments in runs))

    def deciding(self, path: bytes) -> tuple[Rule, bytes] | None:
        """The rule that decides about a path, and what it matches: the path, or a directory above it. None if no rule does."""
        directory, _, name = path.rpartition(b"/")
        (strong, weak), places = self._all_below(directory)
        for rule in self._last_first:
            if rule.index <= strong:
                break
            last = rule.segments[-1] if rule.segments and rule.tail == OPEN else None
            if last is not None and (rule.above is None or rule.above(directory)) and last.match(name):
                return rule, path
        at = strong if strong >= 0 else weak
        return (self.rules[at], places[at]) if at >= 0 else None

    def pruning(self, directory: bytes) -> tuple[Rule, bytes] | None:
        """The rule that decides about all that is below a directory, likewise."""
        (strong, weak), places = self._all_below(directory)
        at = strong if strong >= 0 else weak
        return (self.rules[at], places[at]) if at >= 0 else None

    def _all_below(self, directory: bytes) -> tuple[_Through, dict[int, bytes]]:
        """What matches all below a directory; and for each rule of which that is true, the directory that it matches."""
        through = self.root()
        places = dict.fromkeys(through, b"")
        parts = directory.split(b"/") if directory else []
        for depth, part in enumerate(parts, 1):
            at = b"/".join(parts[:depth])
            through = self.enter(through, at, part)
            for index in through:
                places.setdefault(index, at)
        return through, places

    def is_uniform(self, through: _Through, names: list[bytes]) -> bool:
        """Whether everything below the directory with these components has the verdict `base`."""
        strong, weak = through
        base = self.base(through)
        for rule in self._last_first:
            if rule.positive == base:
                continue
            if strong >= 0:
                overrides = rule.index > strong and rule.tail != DIRECTORY
            else:
                overrides = rule.tail != DIRECTORY or rule.index > weak
            if overrides and rule.reaches(names):
                return False
        return True


class _Verdict:
    """Everything that is known of one directory."""

    __slots__ = ("deep", "exclude", "exclude_through", "include", "include_through", "left_out", "picked", "plain", "prune")

    def _plain(self) -> tuple[Names, Names] | None:
        if self.prune or self.picked is None:
            return None
        if self.left_out is not None:
            both = self.picked, self.left_out
        elif self.exclude.groups or self.exclude.base:
            return None
        else:
            both = self.picked, _NONE
        return None if any(names.stars is None for names in both) else both

    def __init__(
        self, include: _Program, exclude: _Program, include_through: _Through, exclude_through: _Through, prune: bool
    ) -> None:
        self.include = include
        self.exclude = exclude
        self.include_through = include_through
        self.exclude_through = exclude_through
        #: Nothing below can be kept.
        self.prune = prune
        #: What `include` picks, and what is left out of that, each where one group of names tells.
        self.picked = include.groups[0] if len(include.groups) == 1 and not include.base else None
        self.left_out = exclude.groups[0] if len(exclude.groups) == 1 and not exclude.base else None
        if self.left_out is not None and self.picked is not None:
            self.left_out = self.left_out.among(self.picked)
        #: What is picked, and what is left out of that, where one group of names tells each, and none is about characters.
        self.plain = self._plain()
        #: False for a root: it is never pruned, and patterns like `*/` do not hold in it.
        self.deep = True


class Filter:
    """Include and exclude patterns of one root. Safe to share between threads: only caches change."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Raises UsageError naming the pattern that is no valid glob. No include pattern: nothing is kept."""
        self.include = tuple(include)
        self.exclude = tuple(exclude)
        self._in = _Side(self.include)
        self._out = _Side(self.exclude)
        self._uniform = self._in.uniform and self._out.uniform
        #: Of a uniform filter: the names by which a directory can get another verdict than its parent.
        self._turning = Names([*self._in.turning(), *self._out.turning()])
        in_root, out_root = self._in.root(), self._out.root()
        self._root = _Verdict(self._in.program(in_root, b""), self._out.program(out_root, b""), in_root, out_root, prune=False)
        self._root.deep = False
        self._verdicts: dict[bytes, _Verdict] = {b"": self._root}

    def keeps(self, relative: bytes) -> bool:
        """Whether a file is ours; its path is relative to its root, without a leading slash."""
        directory, _, name = relative.rpartition(b"/")
        verdict = self._verdicts.get(directory) or self._verdict(directory)
        return verdict.include.matches(name) and not verdict.exclude.matches(name)

    def keeps_names(self, directory: bytes, names: Collection[bytes]) -> list[bytes]:
        """Those of `names`, all in `directory` (relative, b"" is the root), that are kept, in their order."""
        verdict = self._verdicts.get(directory) or self._verdict(directory)
        if verdict.prune:
            return []
        kept = _pick(verdict.include, names) if verdict.picked is None else verdict.picked.pick(names)
        exclude = verdict.exclude
        if not kept or (not exclude.groups and not exclude.base):
            return kept
        if verdict.left_out is not None:
            return verdict.left_out.drop(kept)
        return [n for n in kept if not exclude.matches(n)]

    def prunes(self, relative: bytes) -> bool:
        """Whether nothing below the directory can be kept, so that it needs no watch and no scan. False for a root."""
        return (self._verdicts.get(relative) or self._verdict(relative)).prune

    def descends(self, directory: bytes, names: list[bytes]) -> list[bytes]:
        """Those of `names`, of directories in `directory` (relative, b"" is the root), that are not pruned, in their order."""
        verdict = self._verdicts.get(directory) or self._verdict(directory)
        if verdict.prune:
            return []
        prefix = directory + b"/" if directory else b""
        if self._uniform and verdict.deep and len(self._turning.drop(names)) == len(names):
            return names  # as nearly always
        return [name for name in names if not self.prunes(prefix + name)]

    def in_each(self, directory: bytes, names: Sequence[bytes]) -> tuple[Names, Names] | None:
        """What is kept in each of these directories, which lie in `directory` (relative, b"" is the root): the names that match
        the first, but not the second. None where that can't be said of all of them in this way.
        """
        verdict = self._verdicts.get(directory) or self._verdict(directory)
        if self._uniform and verdict.deep and len(self._turning.drop(names)) == len(names):
            return verdict.plain  # as nearly always
        prefix = directory + b"/" if directory else b""
        found = {self._verdict_of(prefix + name).plain for name in names}
        return found.pop() if len(found) == 1 else None

    def in_directory(self, directory: bytes) -> tuple[Names, Names] | None:
        """What is kept in a directory (relative, b"" is the root): the names that match the first, but not the second. None where
        that can't be said in this way.
        """
        above, _, name = directory.rpartition(b"/")
        verdict = self._verdicts.get(above)
        # Most are as their parents, which is seen as quickly as it would be remembered: the parents are fewer.
        if verdict is None or not verdict.deep or not self._uniform or self._turning.match(name):
            verdict = self._verdict_of(directory)
        return verdict.plain

    def decision(self, relative: bytes, *, directory: bool = False) -> Decision:
        """What decides about a path, for people who ask; `keeps` and `prunes` are quicker.

        Args:
            relative: to its root, not the root itself.
            directory: what is asked is whether anything below it can be in scope.
        """
        found = self._in.pruning(relative) if directory else self._in.deciding(relative)
        out = self._out.pruning(relative) if directory else self._out.deciding(relative)
        kept = not self.prunes(relative) if directory else self.keeps(relative)
        if out is not None and (out[0].positive is not kept) and (directory or (found is not None and found[0].positive)):
            return Decision(kept, "exclude", self.exclude[out[0].index], out[1])
        if found is not None and (found[0].positive is kept):
            return Decision(kept, "include", self.include[found[0].index], found[1])
        return Decision(kept, "include", None, b"")

    def describe(self) -> str:
        """One line for people."""
        shown = ", ".join(printable(p) for p in self.include[:4]) or "nothing"
        more = f" and {len(self.include) - 4} more" if len(self.include) > 4 else ""
        left = f"; leaves out {len(self.exclude)} patterns" if self.exclude else ""
        if 0 < len(self.exclude) <= 4:
            left = "; leaves out " + ", ".join(printable(p) for p in self.exclude)
        return f"keeps {shown}{more}{left}"

    def _verdict_of(self, path: bytes) -> _Verdict:
        return self._verdicts.get(path) or self._verdict(path)

    def _verdict(self, path: bytes) -> _Verdict:
        """Decides a directory from its parent's verdict, and remembers it. So are those in between."""
        verdicts = self._verdicts
        if len(verdicts) >= DIRECTORIES_REMEMBERED_MAX:
            # A new dictionary, not clear(): another thread may be about to read the root's entry.
            later = list(verdicts.items())[-(DIRECTORIES_REMEMBERED_MAX // 2) :]
            verdicts = self._verdicts = {b"": self._root, **dict(later)}
        missing = []
        at = path
        while (known := verdicts.get(at)) is None:
            missing.append(at)
            at = at.rpartition(b"/")[0]
        for directory in reversed(missing):
            if not known.prune:
                known = self._below(known, directory)
            verdicts[directory] = known
        return known

    def _below(self, parent: _Verdict, path: bytes) -> _Verdict:
        name = path.rpartition(b"/")[2]
        if self._uniform and parent.deep and not self._turning.match(name):
            return parent  # as nearly always
        inside = self._in.enter(parent.include_through, path, name)
        outside = self._out.enter(parent.exclude_through, path, name)
        if inside is parent.include_through and outside is parent.exclude_through and self._uniform and parent.deep:
            return parent
        names = path.split(b"/")
        prune = (self._out.base(outside) and self._out.is_uniform(outside, names)) or (
            not self._in.base(inside) and self._in.is_uniform(inside, names)
        )
        include, exclude = self._in.program(inside, path), self._out.program(outside, path)
        return _Verdict(include, exclude, inside, outside, prune)


def _without_covered(rules: list[Rule]) -> list[Rule]:
    """Leaves out what `*.suffix` covers anyway, as `*.json` does `**/ast/*.json`. Only for lists without `!`."""
    suffixes = tuple(
        rule.segments[0].parts[1]
        for rule in rules
        if rule.tail == OPEN
        and rule.double
        and len(rule.segments) == 1
        and rule.segments[0] is not None
        and len(rule.segments[0].parts) == 2
        and not rule.segments[0].parts[0]
    )
    left = []
    for rule in rules:
        last = rule.segments[-1] if rule.segments else None
        if rule.tail == OPEN and last is not None and len(rule.segments) > 1 and last.parts and last.parts[-1].endswith(suffixes):
            continue
        left.append(rule)
    return left


def _strongest(rules: Iterable[Rule]) -> _Through:
    strong = weak = -1
    for rule in rules:
        if rule.strength == 2:
            strong = max(strong, rule.index)
        else:
            weak = max(weak, rule.index)
    return _Through((strong, weak))


def _pick(program: _Program, names: Collection[bytes]) -> list[bytes]:
    if not program.groups:
        return list(names) if program.base else []
    return [n for n in names if program.matches(n)]
