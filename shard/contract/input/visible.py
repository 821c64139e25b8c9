"""Makes text from others safe for a terminal or a log: it becomes one line in which every character is visible.

A name may contain any character. These are written as escapes: characters that control a terminal, forge a line, change
the direction of the following text, or are invisible; and accents that pile up, or that would attach to one of our own
characters. Output for programs (JSON) is not changed in this way.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Final

#: In a text that is ASCII: C0 and DEL.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
#: Letters, marks and symbols that are nothing to see: fillers, blanks, selectors of variants and the like (of Unicode's
#: Default_Ignorable_Code_Point what is not Cf, and the blank of Braille). As ranges, since a set of their 4,000 numbers would
#: take a third of a megabyte in each process of a service.
_INVISIBLE: Final = (
    *(range(code, code + 1) for code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)),
    *(range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0000, 0xE1000)),
)
#: Categories of Unicode that are escaped: controls, formats (bidirectional ones too), private, unassigned, separators of lines
#: and paragraphs, and every blank but the common one.
_HIDDEN: Final = frozenset(["Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"])
#: Marks that one character may carry; Unicode's own languages need no more.
_MARKS_MAX: Final = 3


def readable(path: str | bytes | os.PathLike[str]) -> str:
    """A path or message in one safe line: what is not UTF-8 becomes U+FFFD, what can't be seen becomes an escape."""
    text = path.decode("utf-8", "replace") if isinstance(path, bytes) else os.fspath(path)
    if text.isascii():
        return _CONTROL.sub(lambda found: _escape(found.group()), text)
    shown = []
    marks = _MARKS_MAX  # at the beginning there is nothing to sit on
    for character in text:
        kind = _kind(character)
        if kind == "mark":
            marks += 1
            shown.append(character if marks <= _MARKS_MAX else _escape(character))
            continue
        marks = 0 if kind == "letter" else _MARKS_MAX
        if kind == "lone":
            shown.append("\N{REPLACEMENT CHARACTER}")
        else:
            shown.append(_escape(character) if kind == "hidden" else character)
    return "".join(shown)


def width(text: str) -> int:
    """Columns that a readable text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


@lru_cache(4096)
def _kind(character: str) -> str:
    import unicodedata  # most processes never meet a name that needs it

    category = unicodedata.category(character)
    if category == "Cs":
        return "lone"
    if (category in _HIDDEN and character != " ") or any(ord(character) in codes for codes in _INVISIBLE):
        return "hidden"
    if category in ("Mn", "Me"):
        return "mark"
    return "letter" if category[0] in "LNM" else "other"


@lru_cache(4096)
def _columns(character: str) -> int:
    import unicodedata

    if _kind(character) == "mark":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
