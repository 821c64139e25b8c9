"""The census that `init` takes of a tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.supervisor.config.resolve import resolve
from shardwatch.supervisor.planning.census import _remote, suffix, take
from shardwatch.supervisor.planning.named import with_files


def test_kinds_are_counted_without_what_is_left_out(tmp_path: Path) -> None:
    """Build output and what ignore files name is not counted; an unreadable name is nothing special."""
    names = ("a.py", "src/b.py", "src/c.md", "src/LICENSE", "src/.gitignore", "node_modules/x.js", "out/z.log", "src/drop.log")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/src/\xff.py")).touch()
    (tmp_path / ".ignore").write_text("out/\n*.log\n")
    overrides = {"roots": [tmp_path], "include": ["*"], "ignore_files": True}
    settings = with_files(resolve(overrides=overrides, environ={}, cwd=tmp_path, search=False).settings)
    census = take(settings)
    assert census.suffixes == {".py": 3, ".md": 1}
    assert (census.files, census.directories, census.ignore_files, census.whole) == (7, 2, 2, True)
    few = take(settings, looked_max=1)
    assert (few.directories, few.whole) == (1, False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a.py", ".py"), (b"x.tar.gz", ".gz"), (b"m.ast.json", ".ast.json"), (b"a.c++", ".c++"), (b".gitignore", ""),
        (b"README", ""), (b"a.12", ""), (b"a.", ""), (b"log.2026-11-27", ""), (b"a.\xff", ""), (b'a.p"y', ""),
        (b"a." + b"x" * 17, ""), (b"a.p\n", ""),
    ],
)  # fmt: skip
def test_a_suffix_is_one_that_a_pattern_can_have(name: bytes, expected: str) -> None:
    """Everything else says nothing of the kind of a file, or means something in a pattern."""
    assert suffix(name) == expected


def test_remote_filesystems_at_and_below_the_root() -> None:
    """The one that holds the root, and those below; of several on one point, the one on top."""
    mounts = [(b"/", "ext4"), (b"/srv", "nfs4"), (b"/srv/a/local", "xfs"), (b"/srv/a/s", "ext4"), (b"/srv/a/s", "fuse.sshfs")]
    mounts.append((b"/o", "nfs4"))
    assert _remote([b"/srv/a"], mounts) == [(b"/srv", "nfs4"), (b"/srv/a/s", "fuse.sshfs")]
    assert _remote([b"/"], mounts) == [(b"/srv", "nfs4"), (b"/srv/a/s", "fuse.sshfs"), (b"/o", "nfs4")]
    assert _remote([b"/srv/a/local"], mounts) == []
