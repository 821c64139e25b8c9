"""Patterns as a user writes them: expands braces as in a shell, and refuses patterns that cannot match, naming the right
one.

Used by `pattern_options` and the Python API. `shard.contract.filter.pattern` defines the meaning of a pattern that
was accepted here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.filter.pattern import PATTERN_CHARS_MAX, check_bounds, parse, printable

#: Most patterns that one with braces stands for, and how deep braces may be nested.
BRACES_MAX: Final = 256
_NESTED_MAX: Final = 10
_RANGE: Final = re.compile(r"-?\w+\.\.-?\w+(\.\.-?\d+)?")
_WILD: Final = re.compile(r"[*?\[\\]")


def checked(name: str, patterns: Iterable[str], origin: str) -> list[str]:
    """The patterns of an option, expanded. Raises UsageError, which names the option and where its value came from."""
    found = []
    for pattern in patterns:
        try:
            some = expand(pattern)
            for one in some:
                _check(one)
        except UsageError as error:
            raise UsageError(f"{name} ({origin}): {error.message}", hint=error.hint) from error
        found += some
    try:
        check_bounds(found)
    except UsageError as error:
        raise UsageError(f"{name} ({origin}): {error.message}", hint=error.hint) from error
    return found


def expand(pattern: str) -> list[str]:
    """The patterns that one stands for: `*.{json,yml}` is `*.json` and `*.yml`.

    Braces may be nested, and a backslash takes the meaning from a brace or a comma. Raises UsageError for what a shell would
    leave as it is (`{a}`, an unclosed brace), for ranges, and for more than BRACES_MAX.
    """
    if "{" not in pattern:
        return [pattern]
    if len(pattern) > PATTERN_CHARS_MAX:
        check_bounds([pattern])
    return _run(pattern, 0, 0)[0]


def check_place(pattern: str, roots: Sequence[bytes]) -> None:
    """Refuses an absolute path where a pattern is relative to a root: a slash at its beginning stands for the root.

    Looks at the disk. Raises UsageError.
    """
    text = pattern.removeprefix("!")
    if not text.startswith("/"):
        return
    literal = []
    for part in text[1:].split("/")[:-1]:
        if _WILD.search(part):
            break
        literal.append(part)
    if not literal:
        return
    head, rest = os.fsencode("/" + "/".join(literal)), text[1:].split("/")[len(literal) :]
    sign = pattern[: len(pattern) - len(text)]
    for root in roots:
        if root != b"/" and (head == root or head.startswith(root + b"/")):  # below / it means the same either way
            below = os.fsdecode(head[len(root) :])
            meant = f"{sign}{below}/{'/'.join(rest)}"
            raise _refused(pattern, "matches nothing: it is an absolute path, and patterns are relative to a root", meant)
    first = os.fsencode(literal[0])
    if os.path.isdir(head) and not any(os.path.lexists(os.path.join(root, first)) for root in roots):
        raise UsageError(
            f"the pattern {printable(pattern)!r} matches nothing: it is an absolute path outside of the roots",
            hint=f"make {os.fsdecode(head)} a root; in a pattern, a / at the beginning stands for a root",
        )


def _check(pattern: str) -> None:
    try:
        pattern.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{printable(pattern)} is not UTF-8", hint="write ? for such a byte") from None
    sign = "!" if pattern.startswith("!") else ""
    text = pattern[len(sign) :]
    if not pattern.strip():
        raise UsageError(f"the pattern {pattern!r} matches nothing: it is empty", hint="leave it out, or write * for all")
    if text != text.rstrip() and not text.endswith("\\ "):
        raise _refused(pattern, "ends in blanks, which count for nothing", sign + text.rstrip())
    if text.startswith("#"):
        raise _refused(pattern, "matches nothing: it is a comment", "\\" + pattern)
    parts = text.split("/")
    if ".." in parts:
        meant = sign + "/".join(part for part in parts if part not in ("..", "."))
        raise _refused(pattern, "matches nothing: it leads out of its root", meant)
    inner = parts[1:] if not parts[0] else parts
    if "." in parts or "" in inner[:-1]:
        why = "a component ." if "." in parts else "two slashes in a row"
        kept = [part for part in inner if part not in (".", "")]
        # `./*.json` is about files right in the root, as a slash at the beginning says it.
        anchored = not parts[0] or parts[0] == "."
        meant = sign + ("/" if anchored else "") + "/".join(kept) + ("/" if kept and not parts[-1] else "")
        raise _refused(pattern, f"matches nothing: {why} is in no path", meant if kept else sign + "*")
    if parse(pattern) is None:
        raise UsageError(f"the pattern {printable(pattern)!r} matches nothing", hint="write * for every file")


def _refused(pattern: str, why: str, meant: str) -> UsageError:
    return UsageError(f"the pattern {printable(pattern)!r} {why}", hint=f"write {printable(meant)}")


def _run(text: str, at: int, depth: int) -> tuple[list[str], int]:
    """(what the text from `at` on stands for, up to where the comma or brace is that ends it; or to its end)."""
    found = [""]
    while at < len(text):
        begin = at
        while at < len(text) and not (text[at] == "{" or (depth and text[at] in ",}")):
            at = _after(text, at)
        found = [one + text[begin:at] for one in found]
        if at == len(text) or text[at] != "{":
            break
        some, at = _braces(text, at + 1, depth + 1)
        if len(found) * len(some) > BRACES_MAX:
            raise _bad(text, f"its braces stand for more than {BRACES_MAX} patterns", "use several, or a wildcard")
        found = [one + other for one in found for other in some]
    return found, at


def _braces(text: str, at: int, depth: int) -> tuple[list[str], int]:
    if depth > _NESTED_MAX:
        raise _bad(text, f"its braces are nested more than {_NESTED_MAX} deep", "write them side by side")
    found: list[str] = []
    begin, commas = at, 0
    while True:
        some, at = _run(text, at, depth)
        if at == len(text):
            raise _bad(text, "a `{` is never closed", "write \\{ for the character itself")
        found += some
        if len(found) > BRACES_MAX:
            raise _bad(text, f"its braces stand for more than {BRACES_MAX} patterns", "use several, or a wildcard")
        at += 1
        if text[at - 1] == "}":
            break
        commas += 1
    if not commas:
        inside = text[begin : at - 1]
        if _RANGE.fullmatch(inside):
            raise _bad(text, f"the range {{{inside}}} is not expanded", "write its values: {1,2,3}, or a class: [1-3]")
        meant = text[: begin - 1] + inside + text[at:]
        raise _bad(text, f"{{{inside}}} has no comma", f"write {meant}, or \\{{ for the character itself")
    return found, at


def _after(text: str, at: int) -> int:
    """Where what begins at `at` ends: a character, one with its backslash, or a class."""
    if text[at] == "\\":
        return min(at + 2, len(text))
    if text[at] == "[":
        end = at + 1 + (text[at + 1 : at + 2] in ("!", "^") and len(text) > at + 1)
        end = text.find("]", end + (text[end : end + 1] == "]"))
        if end >= 0 and "/" not in text[at:end]:
            return end + 1
    return at + 1


def _bad(pattern: str, why: str, hint: str) -> UsageError:
    return UsageError(f"bad pattern {printable(pattern[:200])!r}: {why}", hint=hint)
