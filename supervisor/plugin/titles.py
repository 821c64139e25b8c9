"""What supervisord's own commands call a shard: its id, and what it watches, such as `s3-services_api`. Pure.

The id alone is the name that never changes. The rest follows from the plan, and tells people more.
"""

from __future__ import annotations

import binascii
import os.path
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

#: Characters of a title after the id; of a longer path its end is shown.
PATH_CHARS_MAX: Final = 40
#: What can't be in a title: supervisord splits names at colons, and supervisorctl at white space.
_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]")


class ByTitle(dict[str, Any]):
    """The processes of a group by id. Asked for a title, it has that process, too."""

    def get(self, name: object, default: Any = None) -> Any:
        found = super().get(name)  # type: ignore[call-overload]
        if found is None:
            found = next((process for process in self.values() if process.config.name == name), default)
        return found


def id_of(process: Any) -> str:
    """The name of a process that never changes: of a shard, its id."""
    return str((process.config.environment or {}).get("SHARD_ID", process.config.name))


class PlannedPart(NamedTuple):
    """A subtree that a shard has, below which others may have some."""

    path: bytes
    root: bytes
    #: Files and directories, as planned.
    entries: int = 0


def titles(plan: Mapping[str, Any]) -> dict[str, str]:
    """The title of each shard of a plan, as plan.json has it.

    Raises ValueError, KeyError and TypeError for what is no plan.
    """
    parts: dict[str, list[PlannedPart]] = {}
    for anchor in plan["anchors"]:
        entries = int(anchor.get("directories", 0)) + int(anchor.get("files", 0))
        parts.setdefault(str(anchor["shard"]), []).append(PlannedPart(_path(anchor["path"]), _path(anchor["root"]), entries))
    return {shard: title(shard, some) for shard, some in parts.items()}


def title(shard: str, parts: Iterable[PlannedPart]) -> str:
    """Names where most of it lies, relative to its root: of the directories directly below the roots, the one in which it has
    most, or the deepest directory below that which has all of the shard's subtrees in there. A + stands for several subtrees.
    """
    places: dict[bytes, list[PlannedPart]] = {}
    some = list(parts)
    for part in some:
        below = part.path.removeprefix(part.root).strip(b"/").split(b"/")[0]
        places.setdefault(part.root.rstrip(b"/") + b"/" + below, []).append(part)
    _, chosen = min(places.items(), key=lambda place: (-sum(part.entries for part in place[1]), place[0]))
    common = os.path.commonpath([part.path for part in chosen])
    root = chosen[0].root
    below = common.removeprefix(root).strip(b"/") or root.rpartition(b"/")[2]
    shown = _OTHER.sub("_", below.decode(errors="replace"))[-PATH_CHARS_MAX:] or "root"
    return f"{shard}-{shown}{'+' if len(some) > 1 else ''}"


def _path(encoded: str) -> bytes:
    return binascii.a2b_base64(encoded)
