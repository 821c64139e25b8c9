"""What happens to a state directory between two lives of its service: pieces of it are removed, restored, or it is moved away."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from chaos.processes import marked
from chaos.tally import Tally

#: What may be removed without anybody hearing of it, and what costs every group a `fresh`; a database goes with its companions.
_HARMLESS = (
    "locks", "run", "logs", "settings.json", "plan.json", "ship-section.json", "supervisord.conf", "SHARDWATCH.TAG", ".gitignore",
)  # fmt: skip
_FRESH = ("index.db", "groups.db", "life.json")
#: Seconds in which programs whose supervisord was killed leave by themselves; one that is frozen stays.
_LEAVE_S = 6.0
#: Part of the pauses in which a position is lost: each costs a scan of everything and all files anew for every group.
_FRESH_PART = 0.12


class Neglect:
    """Removes pieces of one state directory while nobody uses it."""

    def __init__(self, state_dir: Path, mark: str, tally: Tally, random_: random.Random) -> None:
        self._state_dir = state_dir
        self._mark = mark
        self._tally = tally
        self._random = random_

    def once(self) -> list[str]:
        """Waits until nothing of the service lives, removes some pieces, and returns what; nothing where somebody stays."""
        deadline = time.monotonic() + _LEAVE_S
        while self._somebody():
            if time.monotonic() >= deadline:
                return []
            time.sleep(0.05)
        chosen = self._random.sample(_HARMLESS, self._random.randint(1, len(_HARMLESS)))
        # If the last life ended before it wrote life.json, the files that an earlier pause has left may be all that is known of
        # the groups.
        if self._random.random() < _FRESH_PART and (self._state_dir / "life.json").exists():
            chosen += self._random.sample(_FRESH, self._random.randint(1, len(_FRESH) - 1))
        for name in chosen:
            self._tally.add(f"removed {name}")
            for path in [self._state_dir / name, *(self._state_dir / (name + end) for end in ("-wal", "-shm"))]:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return chosen

    def _somebody(self) -> bool:
        return any(process.role in ("supervisord", "aggregator", "coordinator", "shard") for process in marked(self._mark))
