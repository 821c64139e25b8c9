"""When watches run out nothing goes unwatched in silence: the rest is swept, said so, and every change still arrives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import Command
from guard import borrowed
from waiting import eventually

LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")


@pytest.fixture
def few_watches() -> Iterator[int]:
    """max_user_watches lowered to 500, and restored whatever happens."""
    with borrowed(LIMIT, "500"):
        yield 500


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """5,000 directories with a file each."""
    root = tmp_path / "root"
    for n in range(5_000):
        directory = root / f"a{n // 500}" / f"b{n // 50 % 10}" / f"c{n % 50}"
        directory.mkdir(parents=True)
        (directory / "unit.ast.json").write_text("{}")
    return root


@pytest.mark.alone
@pytest.mark.root
def test_few_watches(wide: Path, few_watches: int, no_leaks: None) -> None:
    """500 watches for 5,000 directories: 300 files written in random ones all arrive, and a line told why and what to do."""
    with Command("watch", str(wide), "--json", "--backend", "inotify") as watch:
        lines = watch.until(lambda line: line["type"] == "ready")
        assert lines[-1]["directories"] == 5_111
        chosen = random.Random(500).sample(sorted(p for p in wide.rglob("c*")), 300)
        for directory in chosen:
            (directory / "new.ast.json").write_text("new")
        arrived: set[str] = set()

        def all_arrived() -> bool:
            line = watch.json(60)
            lines.append(line)
            if line["type"] == "event":
                arrived.add(line["path"])
            return len(arrived) == 300

        eventually(all_arrived, 120, every_s=0.0)
        assert arrived == {str(directory / "new.ast.json") for directory in chosen}
        told = [line for line in lines if line["type"] == "status"]
        assert any("fs.inotify.max_user_watches=" in line["remedy"] for line in told)
        assert any(any(character.isdigit() for character in line["message"]) for line in told)
