"""Renames arrive as one event where that is certain, and as two where it is not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filesystems import filesystem
from running import Consumer, Running, consuming, running, settings_for


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for d in ("a", "b"):
        (root / d).mkdir(parents=True)
        for n in range(5):
            (root / d / f"{d}{n}.ast.json").write_text(f"{d}{n}")
    return root


@pytest.fixture
def followed(state_dir: Path, root: Path, no_leaks: None) -> Iterator[tuple[Running, Consumer]]:
    """A consumer that knows the whole tree."""
    with running(state_dir, settings_for(root, settle_ms=20)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        consumer.events.clear()
        yield service, consumer


@contextlib.contextmanager
def in_one_batch(service: Running) -> Iterator[None]:
    """What is done within is handed out together: halves of a rename that are handed out one by one are no `moved`."""
    service.client.hold("in one batch", 50)
    try:
        yield
        service.client.sync(60, patience_s=20)
    finally:
        service.client.unhold("in one batch")


def told(consumer: Consumer, root: Path) -> set[tuple[str, str]]:
    return {(kind, os.fsdecode(path)[len(str(root)) + 1 :]) for kind, path in consumer.events}


def test_a_renamed_file_is_moved(followed: tuple[Running, Consumer], root: Path) -> None:
    """Within a directory, and from one to another."""
    service, consumer = followed
    with in_one_batch(service):
        (root / "a" / "a0.ast.json").rename(root / "a" / "new.ast.json")
        (root / "a" / "a1.ast.json").rename(root / "b" / "new.ast.json")
    service.assert_mirrored(consumer, root)
    assert told(consumer, root) == {("moved", "a/new.ast.json"), ("moved", "b/new.ast.json")}


def test_a_renamed_directory_moves_its_files(followed: tuple[Running, Consumer], root: Path) -> None:
    """Each file has an event of its own."""
    service, consumer = followed
    with in_one_batch(service):
        (root / "a").rename(root / "c")
    service.assert_mirrored(consumer, root)
    assert told(consumer, root) == {("moved", f"c/a{n}.ast.json") for n in range(5)}


def test_an_atomic_save_is_modified(followed: tuple[Running, Consumer], root: Path) -> None:
    """A temporary file renamed over another is a change of that other; a rename over a known file is no move."""
    service, consumer = followed
    temporary = root / "a" / "a0.ast.json.tmp"
    temporary.write_text("saved")
    temporary.rename(root / "a" / "a0.ast.json")
    (root / "b" / "b0.ast.json").rename(root / "b" / "b1.ast.json")
    service.assert_mirrored(consumer, root)
    assert told(consumer, root) == {("modified", "a/a0.ast.json"), ("deleted", "b/b0.ast.json"), ("modified", "b/b1.ast.json")}


def test_in_and_out_are_no_moves(followed: tuple[Running, Consumer], root: Path, tmp_path: Path) -> None:
    """One file moved out, an unrelated one moved in."""
    service, consumer = followed
    (tmp_path / "outside.json").write_text("a1")
    (root / "a" / "a0.ast.json").rename(tmp_path / "out.json")
    (tmp_path / "outside.json").rename(root / "a" / "in.ast.json")
    service.assert_mirrored(consumer, root)
    assert told(consumer, root) == {("deleted", "a/a0.ast.json"), ("created", "a/in.ast.json")}
    assert consumer.error is None


@pytest.mark.root
@pytest.mark.parametrize("way", ["created", "renamed from outside"])
def test_a_later_file_with_the_same_inode_has_not_moved(tmp_path: Path, state_dir: Path, no_leaks: None, way: str) -> None:
    """ext4 gives the inode of a removed file to the next one. Its size and time are made equal; its content is another's."""
    with filesystem("ext4", tmp_path / "fs") as made:
        root = made.at / "root"
        root.mkdir()
        old, new = root / "a.ast.json", root / "b.ast.json"
        old.write_text("one")
        os.utime(old, (10**9, 10**9))
        with running(state_dir, settings_for(root, settle_ms=20)) as service, consuming(state_dir) as consumer:
            service.assert_mirrored(consumer, root)
            consumer.events.clear()
            inode = old.stat().st_ino
            with in_one_batch(service):
                old.unlink()
                at = new if way == "created" else made.at / "elsewhere.json"
                at.write_text("two")
                os.utime(at, (10**9, 10**9))
                if at != new:
                    at.rename(new)
                assert new.stat().st_ino == inode
            service.assert_mirrored(consumer, root)
            assert told(consumer, root) == {("deleted", "a.ast.json"), ("created", "b.ast.json")}
