"""The stats of a page as they are stored: in less room, because the files of a directory have much in common. Pure.

A stat is six words of eight bytes (`shard.contract.files.packed`). What is stored begins with six bytes, one for each word, which
say how that word of all the stats follows, one after the other:

| byte | what follows |
|---|---|
| 0, 1, 2, 4 | the least of the words (eight bytes), and how much larger each one is, in so many bytes |
| 8 | each of the words as it is |
| 9 | nothing: each is the same as the word before it, as the times of files are that were written once |

All numbers are little-endian. Where this would not be shorter, the stats are stored as they are, as all were before schema 10.
Their length tells. Ten files that were written together take some 120 bytes in place of 480.

Both functions have a native twin (`shard.compiled`).
"""

from __future__ import annotations

from array import array
from typing import Final

from shardwatch.shard.contract.files.packed import WIDTH

_WORD_BYTES: Final = 8
_WORDS: Final = WIDTH // _WORD_BYTES
#: In place of a number of bytes: see above.
_AS_BEFORE: Final = 9
_HEADS: Final = frozenset((0, 1, 2, 4, _WORD_BYTES, _AS_BEFORE))
#: How `array` calls unsigned numbers of so many bytes.
_CODES: Final = {1: "B", 2: "H", 4: "I"}


def condense(stats: bytes) -> bytes:
    """What is stored in the place of these stats, of which there is at least one."""
    words, count = memoryview(stats).cast("q"), len(stats) // WIDTH
    heads = bytearray(_WORDS)
    parts: list[bytes] = [b""]
    before: list[int] = []
    for place in range(_WORDS):
        column = words[place::_WORDS].tolist()
        if column == before:
            heads[place] = _AS_BEFORE
            continue
        before = column
        if column.count(column[0]) == count:
            parts.append(stats[place * _WORD_BYTES : (place + 1) * _WORD_BYTES])
            continue
        least = min(column)
        heads[place] = width = _bytes_of(max(column) - least)
        if width == _WORD_BYTES:
            parts.append(array("q", column).tobytes())
        else:
            parts.append(least.to_bytes(_WORD_BYTES, "little", signed=True))
            parts.append(array(_CODES[width], [word - least for word in column]).tobytes())
    parts[0] = bytes(heads)
    stored = b"".join(parts)
    return stored if len(stored) < len(stats) else stats


def _bytes_of(span: int) -> int:
    """In how many bytes numbers up to this one, which is not 0, are stored."""
    if span < 1 << 16:
        return 1 if span < 1 << 8 else 2
    return 4 if span < 1 << 32 else _WORD_BYTES


def expand(stored: bytes, count: int) -> bytes:
    """The stats of so many files, of what was stored in their place. Raises ValueError for what can't be that."""
    if len(stored) == count * WIDTH:
        return stored
    heads = stored[:_WORDS]
    if count < 0 or len(stored) != _length(heads, count):
        raise ValueError("not the stats of so many files")
    first: list[bytes] = []  # the words of the first stat, and of all others where they are not in `columns`
    columns: dict[int, array[int]] = {}
    at = _WORDS
    for place, head in enumerate(heads):
        if head == _AS_BEFORE:
            first.append(first[-1])
            if place - 1 in columns:
                columns[place] = columns[place - 1]
            continue
        word = stored[at : at + _WORD_BYTES]
        first.append(word)
        if head == _WORD_BYTES:
            columns[place] = array("q", stored[at : at + _WORD_BYTES * count])
            at += _WORD_BYTES * count
            continue
        at += _WORD_BYTES
        if head:
            columns[place] = _column(word, array(_CODES[head], stored[at : at + head * count]))
            at += head * count
    words = array("q", b"".join(first) * count)
    for place, column in columns.items():
        words[place::_WORDS] = column
    return words.tobytes()


def _column(least: bytes, more: array[int]) -> array[int]:
    """Words of which each is so much larger than the least."""
    word = int.from_bytes(least, "little", signed=True)
    try:
        return array("q", [word + each for each in more])
    except OverflowError:
        raise ValueError("not the stats of so many files") from None


def _length(heads: bytes, count: int) -> int:
    """How many bytes are stored where these are the first ones; -1 where they can't be."""
    if len(heads) != _WORDS or heads[0] == _AS_BEFORE or not _HEADS.issuperset(heads):
        return -1
    widths = [head for head in heads if head != _AS_BEFORE]
    return _WORDS + sum([width * count + (_WORD_BYTES if width < _WORD_BYTES else 0) for width in widths])
