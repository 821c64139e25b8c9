"""Translates one pattern of an ignore file into a regular expression for bytes, with exactly the meaning that git gives it.

git matches in `wildmatch.c`, and `test_ignore_git.py` compares this with `git check-ignore`. Two things differ from the
patterns of the configuration (`pattern`): git counts bytes and not characters, and it looks at the wildcards that follow a
literal beginning as if they stood at the beginning, so `a/foo**/bar` matches `a/foobar`.

The time to match is bounded by the square of the length of the path, whatever the pattern: nothing is tried again after a
star has found its first place (see `_run`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

_SPECIAL: Final = re.compile(rb"[*?\[\\]")
_SLASH: Final = b"/"
#: Elements of a pattern that are no single byte.
_STAR: Final = b"*"
_TREE: Final = b"**/"
_TREE_NOT_EMPTY: Final = b"**\\/"
_REST: Final = b"**"

_ANY: Final = b"[^/]"
_NAMED_CLASSES: Final[dict[bytes, Callable[[int], bool]]] = {
    b"alnum": lambda c: chr(c).isalnum(),
    b"alpha": lambda c: chr(c).isalpha(),
    b"blank": lambda c: c in b" \t",
    b"cntrl": lambda c: c < 32 or c == 127,
    b"digit": lambda c: chr(c).isdigit(),
    b"graph": lambda c: 33 <= c <= 126,
    b"lower": lambda c: chr(c).islower(),
    b"print": lambda c: 32 <= c <= 126,
    b"punct": lambda c: 33 <= c <= 126 and not chr(c).isalnum(),
    b"space": lambda c: c in b" \t\n\r",
    b"upper": lambda c: chr(c).isupper(),
    b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
}


class Wild(NamedTuple):
    """A pattern, translated."""

    #: A regular expression that has to match the whole name or path (with DOTALL).
    regex: bytes
    #: How many slashes each path has that it matches; None: any number.
    slashes: int | None
    #: The name, where it matches only this one; or what the name ends in, after a star.
    literal: bytes | None = None
    suffix: bytes | None = None


def of_name(pattern: bytes) -> Wild | None:
    """Translates a pattern without a slash, which is compared with names. None: it matches nothing."""
    if not _SPECIAL.search(pattern):
        return Wild(re.escape(pattern), 0, literal=pattern) if pattern else None
    if pattern.startswith(b"*") and not _SPECIAL.search(pattern, 1):
        return Wild(_ANY + b"*" + re.escape(pattern[1:]), 0, suffix=pattern[1:])
    return _translated(pattern, path=False)


def of_path(pattern: bytes) -> Wild | None:
    """Translates a pattern that is compared with paths, without the slash at its beginning. None: it matches nothing."""
    return _translated(pattern, path=True) if pattern else None


def _translated(pattern: bytes, *, path: bool) -> Wild | None:
    elements = _elements(pattern, path=path)
    if elements is None:
        return None
    rest = elements[-1:] == [_REST]
    if rest:
        elements.pop()
    runs: list[list[bytes]] = [[]]
    trees: list[bytes] = []
    for element in elements:
        if element in (_TREE, _TREE_NOT_EMPTY):
            trees.append(b"+?" if element is _TREE_NOT_EMPTY else b"*?")
            runs.append([])
        else:
            runs[-1].append(element)
    regex = b""
    for number, run in enumerate(runs):
        is_last = number == len(runs) - 1
        part = _run(run, to_the_end=is_last and not rest)
        if number == 0:
            regex += part
        elif is_last and not rest:
            regex += b"(?:[^/]*+/)%b%b" % (trees[number - 1], part)
        else:
            regex += b"(?>(?:[^/]*+/)%b%b)" % (trees[number - 1], part)
    if rest:
        return Wild(regex + b".*", None)
    return Wild(regex, None if trees else elements.count(_SLASH))


def _run(elements: list[bytes], *, to_the_end: bool) -> bytes:
    """A regular expression for elements without `**`. Each star takes the first place where what follows fits, which leaves the
    most for what comes later, and keeps it (an atomic group): to try later places could take a time that grows with the length
    to the power of the number of stars. Only the last star before the end has to take as much as it can."""
    pieces = [b""]
    for element in elements:
        if element is _STAR:
            pieces.append(b"")
        else:
            pieces[-1] += element
    if len(pieces) == 1:
        return pieces[0]
    if not to_the_end:
        return pieces[0] + b"".join(b"(?>[^/]*?%b)" % piece for piece in pieces[1:])
    return pieces[0] + b"".join(b"(?>[^/]*?%b)" % piece for piece in pieces[1:-1]) + b"[^/]*" + pieces[-1]


def _elements(pattern: bytes, *, path: bool) -> list[bytes] | None:
    """The elements of a pattern: regular expressions for one byte each, and the constants above. None: it matches nothing."""
    special = _SPECIAL.search(pattern)
    literal = special.start() if special else len(pattern)
    elements: list[bytes] = []
    at = 0
    while at < len(pattern):
        c = pattern[at : at + 1]
        at += 1
        if c == b"\\":
            if at == len(pattern):
                return None
            elements.append(re.escape(pattern[at : at + 1]))
            at += 1
        elif c == b"?":
            elements.append(_ANY)
        elif c == b"[":
            found = _class(pattern, at)
            if found is None:
                return None
            members, at = found
            elements.append(members)
        elif c == b"*":
            begin = at - 1
            while pattern[at : at + 1] == b"*":
                at += 1
            free = path and at - begin > 1 and (begin == literal or pattern[begin - 1 : begin] == b"/")
            if free and at == len(pattern):
                elements.append(_REST)
            elif free and pattern[at : at + 1] == b"/":
                elements.append(_TREE)
                at += 1
            elif free and pattern[at : at + 2] == b"\\/":
                elements.append(_TREE_NOT_EMPTY)
                at += 2
            else:
                elements.append(_STAR)
        else:
            elements.append(re.escape(c))
    return elements


def _class(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    """A class whose bracket was just read: a regular expression for its members, and where the pattern goes on. None: it is
    never closed, or names a class that does not exist."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before = 0
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            return None
        c = pattern[at]
        if c == 0x5C:  # a backslash
            at += 1
            if at >= len(pattern):
                return None
            c = pattern[at]
            members.add(c)
        elif c == 0x2D and before and pattern[at + 1 : at + 2] not in (b"", b"]"):  # a range
            at += 1
            if pattern[at] == 0x5C:
                at += 1
                if at >= len(pattern):
                    return None
            members.update(range(before, pattern[at] + 1))
            c = 0
        elif pattern[at : at + 2] == b"[:":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                return None
            if end - at < 3 or pattern[end - 1] != 0x3A:
                members.add(c)  # an ordinary set that begins so
            else:
                named = _NAMED_CLASSES.get(pattern[at + 2 : end - 1])
                if named is None:
                    return None
                members.update(filter(named, range(128)))
                at = end
                c = 0
        else:
            members.add(c)
        before = c
        at += 1
    if negated:
        members = set(range(1, 256)) - members
    members -= set(_SLASH)
    if not members:
        return None
    return b"[%b]" % b"".join(b"\\x%02x" % member for member in sorted(members)), at + 1
