"""What lies in a state directory, and whether a directory holds anything else.

The programs that prepare and run services import this.
"""

from __future__ import annotations

import contextlib
import re
import stat
from typing import Final

from .directory import TAG, StateDirectory

#: What lies in a state directory, by kind.
DIRECTORIES: Final = ("locks", "run", "logs")
DATABASES: Final = ("index.db", "groups.db", "queue.db")
#: What was committed to the index and not yet to its database (`aggregator.index.redo`).
REDO: Final = "index.db-redo"
FILES: Final = (
    TAG, ".gitignore", "settings.json", "plan.json", "supervisord.conf", "life.json", "exec.json",
    "ship.json", "ship-section.json", "web-section.json", "sources.json", "reload.json", "plan-next.json",
    *(database + companion for database in DATABASES for companion in ("", "-wal", "-shm", "-journal")), REDO,
)  # fmt: skip
#: What else may have come from us: what was set aside, and temporary files that were cut short.
_OURS_TOO: Final = re.compile(
    r"(index|groups|queue)\.db\.damaged-\d+(-wal|-shm|-redo)?|\.(.+\.json|.+\.conf|\.gitignore|.+\.TAG)\.\w+"
)


def examine(state: StateDirectory) -> None:
    """Raises UsageError for the first file that is in place of one of ours and is not one of ours."""
    for name in FILES:
        state.status(name)
    for name in DIRECTORIES:
        with contextlib.suppress(FileNotFoundError), state.below(name) as inner:
            inner.check_private()
            for entry in inner.names():
                inner.status(entry, also=(stat.S_IFSOCK, stat.S_IFDIR) if name == "run" else ())


def is_foreign(state: StateDirectory) -> bool:
    """Whether it contains other files than a service of ours would, and nothing by which it could be recognised as ours."""
    names = set(state.names()) - {"lost+found"}
    known = {*FILES, *DIRECTORIES}
    if names & (set(FILES) - {".gitignore"}):
        return False
    return any(name not in known and not _OURS_TOO.fullmatch(name) for name in names)
