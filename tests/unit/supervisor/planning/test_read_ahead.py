"""What is read ahead of a scan: what the scan will look at, from the other end, until nothing is left to read."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.planning import read_ahead as module
from shardwatch.supervisor.planning.read_ahead import DRY, read_ahead


def settings_of(*roots: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {"include": ("*.json",), "exclude": ("**/build/**",), **more}
    return Settings(roots=tuple(os.fsencode(root) for root in roots), **given)


def grow(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Paths that an lstat was made of."""
    seen: list[bytes] = []

    class System:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        @staticmethod
        def lstat(path: bytes) -> os.stat_result:
            seen.append(path)
            return os.lstat(path)

    monkeypatch.setattr(module, "os", System())
    return seen


def test_what_the_kernel_makes_up_is_not_read(looked: list[bytes]) -> None:
    """Where it is mounted below a root: here /proc, the only directory that the patterns leave of /."""
    settings = Settings(roots=(b"/",), include=("**",), exclude=("/*", "!/proc"))
    assert read_ahead(settings, blocks=count().__next__) == 1
    assert not [path for path in looked if path.startswith(b"/proc/")]


def test_all_that_a_scan_keeps_and_nothing_else(tmp_path: Path, looked: list[bytes]) -> None:
    kept = [tmp_path / name for name in ("a.json", "d/b.json", "d/e/c.json", "f/g.json")]
    grow(*kept, tmp_path / "d/notes.txt", tmp_path / "build/out.json", tmp_path / "d/build/x/y.json")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    assert read_ahead(settings_of(tmp_path), blocks=count().__next__) == 4
    assert sorted(looked) == sorted(os.fsencode(path) for path in kept)


def test_only_the_root_where_it_is_not_recursive(tmp_path: Path, looked: list[bytes]) -> None:
    grow(tmp_path / "a.json", tmp_path / "d/b.json")
    assert read_ahead(settings_of(tmp_path, recursive=False), blocks=count().__next__) == 1
    assert looked == [os.fsencode(tmp_path / "a.json")]


def test_it_ends_where_nothing_needs_reading(tmp_path: Path, looked: list[bytes]) -> None:
    """The scan has been there: it came from the other end. A few cached directories in between end nothing."""
    for number in range(3 * DRY):
        (tmp_path / f"{number:04}").mkdir()
    assert read_ahead(settings_of(tmp_path), threads=1, blocks=lambda: 7) == DRY
    now_and_then = (step // (DRY - 1) for step in count())
    assert read_ahead(settings_of(tmp_path), threads=1, blocks=now_and_then.__next__) == 3 * DRY + 1


def test_in_the_opposite_order_of_a_scan(tmp_path: Path, looked: list[bytes]) -> None:
    """A scan takes roots in their order, and of a directory's subdirectories the last one first."""
    one, two = tmp_path / "1", tmp_path / "2"
    grow(*(one / f"d{n}" / "f.json" for n in range(5)), two / "f.json")
    read_ahead(settings_of(one, two), threads=1, blocks=count().__next__)
    with os.scandir(one) as entries:
        order = [os.fsencode(entry.path) + b"/f.json" for entry in entries]
    assert looked == [os.fsencode(two / "f.json"), *order]


def test_what_can_not_be_read_is_left_to_the_scan(tmp_path: Path, looked: list[bytes]) -> None:
    grow(tmp_path / "a/f.json")
    assert read_ahead(settings_of(tmp_path / "none", tmp_path), threads=1, blocks=count().__next__) == 3
    assert looked == [os.fsencode(tmp_path / "a/f.json")]
