"""What fanotify(7) said: a chunk of bytes from a group's descriptor becomes names by directory. Pure.

A directory is known by a number: the bytes of its filesystem's id and of its handle, read as a whole number.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Final

from ..contract.kernel.fanotify import (
    FAN_ATTRIB,
    FAN_DELETE,
    FAN_DELETE_SELF,
    FAN_MOVE_SELF,
    FAN_MOVED_FROM,
    FAN_MOVED_TO,
    FAN_ONDIR,
    FAN_Q_OVERFLOW,
    HANDLE_BYTES_MAX,
)
from .decoding import Names

#: event_len, vers, reserved, metadata_len, mask, fd, pid (struct fanotify_event_metadata).
_EVENT: Final = struct.Struct("=IBxHQii")
#: info_type, len (struct fanotify_event_info_header).
_INFO: Final = struct.Struct("=BxH")
#: Those two, the filesystem's id, and the length and type of the handle (struct fanotify_event_info_fid).
_HANDLE: Final = struct.Struct("=BxH8xIi")
#: Where the id begins in it, and its length.
_ID_AT: Final = 4
_ID_BYTES: Final = 8
_VERSION: Final = 3
#: FAN_EVENT_INFO_TYPE_DFID_NAME.
_DIRECTORY_AND_NAME: Final = 2
_SELF: Final = b"."
_OF_SELF: Final = FAN_ATTRIB | FAN_DELETE_SELF | FAN_MOVE_SELF


class Damaged(ValueError):
    """The kernel would not have written this chunk. What is behind the damage can't be told."""


def number_of(filesystem: bytes, handle: bytes) -> int:
    """The number of a directory: its filesystem's id, 8 bytes, and its handle with length and type before it. It is at least
    2**64, since a handle has at least one byte."""
    return int.from_bytes(filesystem + handle, "little")


def parts_of(directory: bytes) -> tuple[bytes, bytes]:
    """(id of the filesystem, handle) of a directory, as `decode` names those that are not known."""
    return directory[:_ID_BYTES], directory[_ID_BYTES:]


def is_on(number: int, filesystem: bytes) -> bool:
    """Whether the directory with this number lies on the filesystem with this id."""
    return number & 0xFFFF_FFFF_FFFF_FFFF == int.from_bytes(filesystem, "little")


def decode(
    chunk: bytes, known: Container[int], names: Names, came: Names, left: Names, others: dict[bytes, int]
) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Decodes the events of a chunk. Those of directories that are not known are only counted.

    The kernel puts events of one name together while nobody has read them, so one can say that a name was made, renamed and
    deleted, and in no order.

    Args:
        chunk: any number of events.
        known: the numbers of the directories that matter.
        names: gets the names of files that something happened to, by the number of their directory.
        came: gets those of them that came by a rename.
        left: gets those of them that were deleted or left by a rename.
        others: gets the number of events of each directory that is not known, by filesystem and handle, added.

    Returns:
        (count, specials): the number of events of known directories, and in their order those that are not about a name of a
        file, each as (number, mask, name): names of directories; events of a directory itself, with an empty name; and an
        overflow of the queue, with the number -1.

    Raises Damaged. The names before the damage may have been added.
    """
    specials: list[tuple[int, int, bytes]] = []
    #: The number of each directory of this chunk, 0 for one that is not known.
    numbers: dict[bytes, int] = {}
    at, end, count = 0, len(chunk), 0
    while at < end:
        try:
            length, version, metadata, mask, _, _ = _EVENT.unpack_from(chunk, at)
        except struct.error:
            raise Damaged("a chunk ends within an event") from None
        if version != _VERSION or not _EVENT.size <= metadata <= length <= end - at:
            raise Damaged(f"an event of {length} bytes, version {version}")
        info, at = at + metadata, at + length
        if mask & FAN_Q_OVERFLOW:
            specials.append((-1, mask, b""))
            continue
        while info < at:
            kind, info, directory, name = _info(chunk, info, at)
            if kind != _DIRECTORY_AND_NAME:
                continue
            number = numbers.get(directory)
            if number is None:
                number = int.from_bytes(directory, "little")
                number = numbers[directory] = number if number in known else 0
            if not number:
                others[directory] = others.get(directory, 0) + 1
                continue
            count += 1
            if name == _SELF:
                if mask & _OF_SELF:
                    specials.append((number, mask, b""))
            elif mask & FAN_ONDIR:
                specials.append((number, mask, name))
            else:
                _add(names, number, name)
                if mask & FAN_MOVED_TO:
                    _add(came, number, name)
                if mask & (FAN_MOVED_FROM | FAN_DELETE):
                    _add(left, number, name)
    return count, specials


def _add(names: Names, number: int, name: bytes) -> None:
    some = names.get(number)
    if some is None:
        some = names[number] = set()
    some.add(name)


def _info(chunk: bytes, at: int, end: int) -> tuple[int, int, bytes, bytes]:
    """One record of an event that ends at `end`: (type, where the next one begins, directory, name); the last two are empty
    unless it is about a name in a directory. Raises Damaged."""
    if end - at < _INFO.size:
        raise Damaged("an event ends within a record")
    kind, length = _INFO.unpack_from(chunk, at)
    if not _INFO.size <= length <= end - at:
        raise Damaged(f"a record of {length} bytes")
    if kind != _DIRECTORY_AND_NAME:
        return kind, at + length, b"", b""
    if length < _HANDLE.size:
        raise Damaged("a record ends within a handle")
    handle_bytes = _HANDLE.unpack_from(chunk, at)[2]
    name_at = at + _HANDLE.size + handle_bytes
    if not 0 < handle_bytes <= HANDLE_BYTES_MAX or name_at >= at + length:
        raise Damaged(f"a handle of {handle_bytes} bytes")
    name = chunk[name_at : at + length].split(b"\0", 1)[0]
    if not name:
        raise Damaged("no name")
    return kind, at + length, chunk[at + _ID_AT : name_at], name
