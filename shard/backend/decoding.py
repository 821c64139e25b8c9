"""What inotify(7) said: a chunk of bytes from its descriptor becomes names by watch. Pure.

Three things make it fast: a precompiled `Struct.unpack_from`, one bound `set.add` per watch, and a skip when the same watch and
name follow each other. `decode` is also the definition of the native function of that name.
"""

from __future__ import annotations

import struct
from typing import Final

from .calls import (
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
)

#: What names come or go by. Of directories everything is special.
_NAMED: Final = IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM
_SPECIAL: Final = IN_ISDIR | _NAMED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED
#: Of an event that begins at a place: its watch, its mask, and the length of its name, which follows after HEAD_BYTES.
head: Final = struct.Struct("iI4xI").unpack_from
HEAD_BYTES: Final = 16

#: Names by watch.
Names = dict[int, set[bytes]]


def decode(chunk: bytes, names: Names, came: Names, left: Names) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Decodes the events of a chunk, as the kernel gives it: each is whole.

    Args:
        chunk: any number of events.
        names: gets the names of files that something happened to. The name is empty where an event has none.
        came: gets those of them that came by a rename.
        left: gets those of them that were deleted or left by a rename.

    Returns:
        (count, specials): the number of events, and in their order those that are not about a name of a file, each as (watch,
        mask, name): names of directories, and events of the watch or of the queue itself.

    Raises ValueError for a chunk that ends within an event. The names before it may have been added.
    """
    adders = {wd: some.add for wd, some in names.items()}
    specials: list[tuple[int, int, bytes]] = []
    read = head
    at, end, count = 0, len(chunk), 0
    last_wd, last_name = 0, None
    try:
        while at < end:
            wd, mask, length = read(chunk, at)
            begin = at + HEAD_BYTES
            at = begin + length
            count += 1
            name = chunk[begin:at]  # padded with NULs
            if mask & _SPECIAL:
                if mask & IN_ISDIR or not mask & _NAMED:
                    specials.append((wd, mask, name.rstrip(b"\0")))
                    continue
                (came if mask & IN_MOVED_TO else left).setdefault(wd, set()).add(name.rstrip(b"\0"))
            if wd != last_wd or name != last_name:
                last_wd, last_name = wd, name
                add = adders.get(wd)
                if add is None:
                    some = names[wd] = set()
                    add = adders[wd] = some.add
                add(name.rstrip(b"\0"))
    except struct.error:
        at = -1
    if at != end:
        raise ValueError("not a whole number of events")
    return count, specials
