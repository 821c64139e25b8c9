"""Notes every figure: through pytest-benchmark, which prints them, and as one JSON file a row, which the report is made from.

There is a directory of such files for each kind of processor. In a row, our side is told apart by whether native code is used.
What is measured beside an older commit is in a directory of its own within that, with what today's commit took in the same turns.
"""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import machine
import older
from peers import versions
from rows import BESIDE, OLD, OURS, PURE, ROWS
from sides import NATIVE
from sizes import QUICK

from shardwatch.shard.compiled import choice

RESULTS: Final = Path(__file__).resolve().parent / "results"


class Clock:
    """The clock that pytest-benchmark reads: it goes by what a suite measured, which is seldom the length of a call."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def passed(self, seconds: float) -> None:
        self._now += seconds


CLOCK = Clock()


def results_of(quick: bool) -> Path:
    """Where rows are kept, by kind of processor. Those of quick runs say that the suites work, and are not for quoting."""
    return RESULTS / "quick" if quick else RESULTS


def turns(row: str) -> int:
    """In how many turns a row is measured beside an older commit; 0 if it isn't."""
    beside = ROWS[row].beside
    return 0 if beside is None else min(beside.turns, 2) if QUICK else beside.turns


class Book:
    """One row's page for one side."""

    def __init__(self, benchmark: Any, row: str, side: str, *, directory: Path | None = None) -> None:
        if row not in ROWS:
            raise KeyError(f"rows.py has no row {row!r}")
        self._benchmark = benchmark
        self._row = row
        self._ours = side == OURS
        self._side = PURE if self._ours and not NATIVE else side
        self._turns = turns(row) if older.COMMIT else 1
        kind = results_of(QUICK) / machine.kind()
        self._directory = directory or (kind / BESIDE[OURS if NATIVE else PURE] if older.COMMIT else kind)
        #: Whether what the file has of an earlier run goes: two runs are no comparison.
        self._begins = bool(older.COMMIT) and self._ours
        self._facts: dict[str, object] = {}
        self._values: dict[str, list[float]] = {}
        self._notes: list[str] = []
        self._losses: list[int] = []
        self._said = 0

    def settings(self, *, tree: Path | None = None, state: Path | None = None, **facts: object) -> None:
        """What the row was measured with: settings that are not the defaults, size, filesystems."""
        self._facts |= facts
        for name, path in (("tree_on", tree), ("state_on", state)):
            if path is not None:
                self._facts[name] = machine.filesystem(path)

    def another_turn(self, benchmark: Any) -> Book:
        """This page, for one more test that fills it."""
        self._benchmark = benchmark
        return self

    @property
    def side(self) -> str:
        """As the results have it."""
        return self._side

    def note(self, text: str) -> None:
        """A word in the table, such as what a side lost."""
        if text and text not in self._notes:
            self._notes.append(text)

    def lost(self, missing: int, wanted: int, *, said: int) -> None:
        """What a side lost in one round (0 counts too), and how often it said so; the note names the worst."""
        self._losses.append(missing)
        self._said = max(self._said, said if missing else 0)
        if any(self._losses):
            word = f"; it said so {self._said} times" if self._said else ", without a word"
            rounds = f"{sum(map(bool, self._losses))} of {len(self._losses)} rounds"
            self._notes = [note for note in self._notes if not note.startswith("LOST")]
            self._notes.append(f"LOST {max(self._losses)} of {wanted}{word} ({rounds})")

    def rounds(self, measure: Callable[[], Mapping[str, float]], count: int, *, headline: str) -> dict[str, list[float]]:
        """Calls `measure` so often and notes the figures that it returns; `headline` names the one, in seconds, that
        pytest-benchmark shows. Returns all values by name. In each of several turns it is called for a part of the rounds."""

        def once() -> None:
            figures = measure()
            CLOCK.passed(max(figures[headline], 1e-9))
            for name, value in figures.items():
                self._values.setdefault(name, []).append(float(value))

        self._benchmark.group = self._row
        self._benchmark.pedantic(once, rounds=math.ceil(count / self._turns))
        self._benchmark.extra_info.update({"row": self._row, "side": self._side, **self._facts})
        self._benchmark.extra_info["figures"] = {n: statistics.median(v) for n, v in self._values.items()}
        self.write()
        return self._values

    def write(self) -> None:
        """Puts this side into the row's file; the other sides stay as they are."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{self._row}.json"
        held: dict[str, Any] = {"row": self._row, "sides": {}}
        if not self._begins:
            with contextlib.suppress(FileNotFoundError, ValueError):
                held = json.loads(path.read_text())
        self._begins = False
        figures = {
            name: {
                "median": statistics.median(values), "min": min(values), "max": max(values), "values": values,
            }
            for name, values in self._values.items()
        }  # fmt: skip
        held["sides"][self._side] = {
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": older.resolve(older.COMMIT) if self._side == OLD else machine.commit(),
            "machine": machine.describe(),
            "version": "" if self._ours else versions().get(self._side, ""),
            "settings": {"durability": "process", "native_code": choice.STATE, **self._facts} if self._ours else self._facts,
            "figures": figures,
            "notes": self._notes,
        }
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")
        temporary.replace(path)


def spread(values: list[float], digits: int = 3) -> str:
    """Median and, where there is more than one value, the range."""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f})"
