"""What was named to be watched: which of it are files, and which directories have to be watched for their sake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.filter.scope import scope_of
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.config.paths import real_roots
from shardwatch.supervisor.planning.named import (
    IN_STATE_DIRECTORY,
    NEVER_SEEN,
    NOT_THERE,
    is_refused,
    trouble_with,
    unwatchable,
    with_files,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A tree with a file at each of some places; `build` is left out by the patterns."""
    for name in ("root/a.json", "root/sub/x.txt", "root/build/y.txt", "etc/hosts", "etc/sub/passwd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def settings(place: Path, *names: str, **more: Any) -> Settings:
    fields: dict[str, Any] = {"include": ("*.json",), "exclude": ("**/build/**",), **more}
    return Settings(roots=tuple(os.fsencode(place / name) for name in names), **fields)


def parts(place: Path, found: Settings) -> tuple[set[str], set[str], set[str]]:
    """Names of roots, of files, and of roots for their files' sake."""

    def names(paths: tuple[bytes, ...]) -> set[str]:
        return {os.path.relpath(os.fsdecode(path), place) for path in paths}

    return names(found.roots), names(found.files), names(found.only)


@pytest.mark.parametrize(
    ("names", "roots", "files", "only"),
    [
        (["root"], {"root"}, set(), set()),
        (["etc/hosts"], {"etc"}, {"etc/hosts"}, {"etc"}),
        (["root", "etc/hosts"], {"root", "etc"}, {"etc/hosts"}, {"etc"}),
        (["root", "root/a.json"], {"root"}, {"root/a.json"}, set()),
        (["root", "root/sub/x.txt"], {"root"}, {"root/sub/x.txt"}, set()),
        (["root", "root/build/y.txt"], {"root", "root/build"}, {"root/build/y.txt"}, {"root/build"}),
        (["root/sub/x.txt", "root"], {"root"}, {"root/sub/x.txt"}, set()),
        (["etc/hosts", "etc/sub/passwd"], {"etc", "etc/sub"}, {"etc/hosts", "etc/sub/passwd"}, {"etc", "etc/sub"}),
        (["etc/sub", "etc/hosts"], {"etc/sub", "etc"}, {"etc/hosts"}, {"etc"}),
        (["nowhere"], {"nowhere"}, set(), set()),
    ],
    ids=lambda value: "+".join(sorted(value)),
)
def test_files_are_told_apart(place: Path, names: list[str], roots: set[str], files: set[str], only: set[str]) -> None:
    """A directory that no root reaches is watched for its file alone; what was named stays what was named."""
    given = settings(place, *names)
    found = with_files(given)
    assert parts(place, found) == (roots, files, only)
    assert set(found.named()) == set(given.roots) == set(given.named())


def test_without_recursion_a_root_reaches_itself_alone(place: Path) -> None:
    """A file further down has its directory watched."""
    found = with_files(settings(place, "root", "root/a.json", "root/sub/x.txt", recursive=False))
    assert parts(place, found) == ({"root", "root/sub"}, {"root/a.json", "root/sub/x.txt"}, {"root/sub"})


def test_what_is_not_there_may_become_either(place: Path) -> None:
    """With wait_for_roots; what a state directory knows as a file stays one while it is away."""
    waiting = with_files(settings(place, "later/deep", wait_for_roots=True))
    assert parts(place, waiting) == ({"later/deep", "later"}, {"later/deep"}, {"later"})
    assert with_files(settings(place, "later/deep", wait_for_roots=True), waiting) == waiting
    before = with_files(settings(place, "etc/hosts"))
    (place / "etc/hosts").unlink()
    assert with_files(settings(place, "etc/hosts"), before) == before
    assert parts(place, with_files(settings(place, "etc/hosts")))[1] == set()


def test_the_scope_of_a_file(place: Path) -> None:
    """Where only files are wanted nothing else is; where a root reaches, they are wanted beside what its patterns keep."""
    scope = scope_of(with_files(settings(place, "root", "root/sub/x.txt", "etc/hosts")))
    root, etc = (os.fsencode(place / name) for name in ("root", "etc"))
    assert scope.files(root + b"/sub", b"sub", [b"x.txt", b"y.txt", b"z.json"]) == [b"x.txt", b"z.json"]
    assert scope.files(root, b"", [b"x.txt", b"a.json"]) == [b"a.json"]
    assert scope.files(etc, b"", [b"a.json", b"hosts"]) == [b"hosts"]
    assert (scope.descends(etc), scope.descends(root), scope.descends(root + b"/sub")) == (False, True, True)


def test_links_and_other_things(place: Path) -> None:
    """A link to a directory is that; one to anything else is watched by its name. What is no file is refused."""
    (place / "to-directory").symlink_to(place / "root")
    (place / "to-file").symlink_to(place / "root/a.json")
    (place / "dangling").symlink_to(place / "nowhere")
    os.mkfifo(place / "pipe")
    names = [os.fsencode(place / name) for name in ("to-directory", "to-file", "dangling")]
    assert real_roots(names) == (os.fsencode(place / "root"), *names[1:])
    found = with_files(Settings(roots=real_roots(names), include=("*.json",), exclude=()))
    assert parts(place, found) == ({"root", "."}, {"to-file", "dangling"}, {"."})
    assert trouble_with(os.fsencode(place / "pipe")) == "is neither a directory nor a file"
    assert trouble_with(os.fsencode(place / "nowhere")) == NOT_THERE
    assert [trouble_with(name) for name in names] == ["", "", ""]


def test_what_was_a_file_and_is_a_directory_is_a_root(place: Path) -> None:
    """What is there counts, and not what was there the last time; and the other way round."""
    before = with_files(settings(place, "etc/hosts"))
    (place / "etc/hosts").unlink()
    (place / "etc/hosts").mkdir()
    found = with_files(settings(place, "etc/hosts"), before)
    assert parts(place, found) == ({"etc/hosts"}, set(), set())
    (place / "etc/hosts").rmdir()
    (place / "etc/hosts").touch()
    assert parts(place, with_files(settings(place, "etc/hosts"), found)) == ({"etc"}, {"etc/hosts"}, {"etc"})


@pytest.mark.parametrize(
    ("trouble", "hint"),
    [
        ("is neither a directory nor a file", "give a directory or a file that you can read"),
        (NOT_THERE, "give a directory or a file that you can read, or set wait_for_roots"),
        (IN_STATE_DIRECTORY, "give a directory or a file outside of it"),
        (f"{NEVER_SEEN} /proc, a proc", "give a directory or a file on another filesystem"),
        ("does not answer (fuse on /mnt)", "see to the server of that mount"),
    ],
)
def test_what_helps_depends_on_the_trouble(trouble: str, hint: str) -> None:
    refusal = unwatchable(b"/r", trouble)
    assert refusal.message == f"root /r {trouble}" and refusal.hint.startswith(hint)


@pytest.mark.parametrize("path", [b"/proc", b"/proc/self/fd", b"/proc/meminfo", b"/sys", b"/sys/kernel"])
def test_what_the_kernel_shows_can_not_be_watched(path: bytes) -> None:
    """Not even if it was watched before: no event, time or size tells of a change there."""
    trouble = trouble_with(real_roots([path])[0])
    kind = "proc" if path.startswith(b"/proc") else "sysfs"
    assert trouble == f"{NEVER_SEEN} /{path.split(b'/')[1].decode()}, a {kind}"
    assert is_refused(trouble) and not is_refused(NOT_THERE)
