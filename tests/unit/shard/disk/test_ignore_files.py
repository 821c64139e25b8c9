"""Which ignore files count where, and that each change of one is noticed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import git, make_repository

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.filter.scope import Scope
from shardwatch.shard.disk.ignore_files import EXCLUDES_AT_ONCE, IgnoreFiles
from shardwatch.shard.disk.look import Reader


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = Path(os.path.realpath(tmp_path)) / "top"
    path.mkdir()
    return path


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def walk(files: IgnoreFiles, root: Path) -> Iterator[Path]:
    """Every file that is left, read from above as a scan does it."""
    below = [os.fsencode(root)]
    while below:
        at = below.pop()
        with os.scandir(at) as entries:
            kinds = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        others = [name for name, is_directory in kinds.items() if not is_directory]
        directories = [name for name, is_directory in kinds.items() if is_directory]
        files.meet(at, others, directories)
        yield from (Path(os.fsdecode(os.path.join(at, name))) for name in files.files(at, others))
        below += [os.path.join(at, name) for name in files.directories(at, directories)]


def left(root: Path, *, roots: tuple[Path, ...] = (), excludes: Path | None = None) -> set[str]:
    """What is left below a root, ignore files aside, relative to it."""
    files = IgnoreFiles([os.fsencode(at) for at in roots or (root,)], b"" if excludes is None else os.fsencode(excludes))
    files.descend(os.fsencode(root))
    names = {str(path.relative_to(root)) for path in walk(files, root)}
    return {name for name in names if not name.endswith("ignore")}


def test_other_roots_count_from_now_on(top: Path) -> None:
    """What is written above a directory counts if a root lies there, and is forgotten with the directory that was looked at."""
    put(top / ".ignore", "a\n")
    put(top / "sub/a")
    sub, names = os.fsencode(top / "sub"), [b"a", b"b"]
    files = IgnoreFiles([sub], b"")
    files.descend(sub)
    assert files.files(sub, names) == names
    files.go_by([os.fsencode(top), sub])
    files.look_outside()
    assert files.files(sub, names) == [b"b"] and files.take_changed() == [os.fsencode(top)]
    files.go_by([sub])
    files.keep_to([])
    files.look_outside()
    assert files.files(sub, names) == names
    files.go_by([os.fsencode(top)])
    assert files.descend(sub) == [os.fsencode(top)], "it is read anew by whoever begins with it again"


def test_what_lies_beside_single_files_alone_counts_nowhere(top: Path) -> None:
    """Also not in a root below, which the same shard looks at."""
    put(top / ".ignore", "a\n")
    put(top / "f")
    put(top / "sub/a")
    above, sub = os.fsencode(top), os.fsencode(top / "sub")
    scope = Scope(Filter(["*"], []), files=[above + b"/f"], only=[above])
    reader = Reader(scope, state_dir=b"/nowhere", ignores=IgnoreFiles([sub], b""))
    found = {}
    for path in (above, sub):
        fd = os.open(path, os.O_RDONLY)
        try:
            found[path] = reader.listed(path, fd, b"")[0]
        finally:
            os.close(fd)
    assert found == {above: [b"f"], sub: [b"a"]}


def test_the_kinds_take_precedence_over_each_other(top: Path) -> None:
    """Each is overruled by the one before it, from whichever directory; a nearer file of one kind by no farther one of it."""
    make_repository(top)
    for name in "abcdef":
        put(top / "sub" / name)
    put(top.parent / "excludes", "a\nb\n")
    put(top / ".git/info/exclude", "!b\nc\nd\n")
    put(top / "sub/.gitignore", "!d\ne\n")
    put(top / ".ignore", "!e\nf\na\n")
    put(top / "sub/.ignore", "!a\n")
    put(top / ".shardwatchignore", "!f\n")
    assert left(top, excludes=top.parent / "excludes") == {"sub/a", "sub/b", "sub/d", "sub/e", "sub/f"}


def test_a_gitignore_counts_within_a_repository_only(top: Path) -> None:
    """An .ignore counts everywhere. A nested repository has rules of its own, but for .ignore; git's own directory is no part of
    any tree."""
    for name in ("a", "b", "nested/a", "nested/b"):
        put(top / name)
    put(top / ".gitignore", "a\n")
    put(top / ".ignore", "b\n")
    assert left(top) == {"a", "nested/a"}
    make_repository(top)
    assert left(top) == set()
    make_repository(top / "nested")
    assert left(top) == {"nested/a"}
    put(top / "nested/.git/info/exclude", "a\n")
    assert left(top) == set()


def broken(git: Path, how: str) -> None:
    """Makes of a complete git directory what is no repository for git."""
    match how:
        case "no HEAD":
            (git / "HEAD").unlink()
        case "nonsense in HEAD":
            put(git / "HEAD", "main\n")
        case "a HEAD that is a link to nowhere":
            (git / "HEAD").unlink()
            (git / "HEAD").symlink_to("elsewhere")
        case "no objects":
            (git / "objects").rmdir()
        case "no refs":
            (git / "refs").rmdir()
        case "a file":
            shutil.rmtree(git)
            put(git, "gitdir: /nowhere\n")
        case _:
            shutil.rmtree(git)
            git.mkdir()


@pytest.mark.parametrize("thorough", [True, False])
@pytest.mark.parametrize(
    "how",
    ["empty", "no HEAD", "nonsense in HEAD", "a HEAD that is a link to nowhere", "no objects", "no refs", "a file"],
)
def test_what_is_no_repository_for_git_is_none(top: Path, how: str, thorough: bool) -> None:
    """An outer repository's files then count inside, as git has it. Whether it has become one, or is one no more, is compared
    with what else lies outside of the listed directories: nothing in the directory itself tells it."""
    make_repository(top)
    put(top / ".gitignore", "a\n")
    put(top / "n/a")
    make_repository(top / "n")
    files = IgnoreFiles([os.fsencode(top)], b"")
    files.descend(os.fsencode(top))
    rules = [top / ".gitignore"]
    assert set(walk(files, top)) == {*rules, top / "n/a"}
    assert git(top, "ls-files", "-o", "--exclude-standard", "--", "n") == b"n/\n"
    files.take_changed()
    broken(top / "n/.git", how)
    files.look_outside(thorough=thorough)
    assert files.take_changed() == [os.fsencode(top / "n")] and list(walk(files, top)) == rules
    assert git(top, "ls-files", "-o", "--exclude-standard", "--", "n") == b""
    files.look_outside(thorough=thorough)
    assert not files.has_changed
    if how == "a file":
        (top / "n/.git").unlink()
    else:
        shutil.rmtree(top / "n/.git")
    make_repository(top / "n")
    files.look_outside(thorough=thorough)
    assert files.take_changed() == [os.fsencode(top / "n")] and set(walk(files, top)) == {*rules, top / "n/a"}


def test_a_head_may_be_a_link(top: Path) -> None:
    """As old versions of git made it."""
    make_repository(top)
    (top / ".git/HEAD").unlink()
    (top / ".git/HEAD").symlink_to("refs/heads/main")
    put(top / ".gitignore", "a\n")
    put(top / "a")
    assert left(top) == set()


def test_a_worktree_shares_the_exclude_file_of_its_repository(top: Path) -> None:
    """As git makes one: its `.git` is a file with an absolute path, and what that names has a `commondir`."""
    (top / "main").mkdir(parents=True)
    git(top / "main", "init", "-q")
    git(top / "main", "commit", "-q", "--allow-empty", "-m", "a worktree needs one")
    git(top / "main", "worktree", "add", "-q", "../w")
    put(top / "main/.git/info/exclude", "a\n")
    put(top / "w/a")
    put(top / "w/b")
    assert left(top / "w") == {"b"}


@pytest.mark.parametrize("line", ["a" * 99 + "\n", "a\n"])
def test_a_file_that_is_too_large_is_told_once(top: Path, caplog: pytest.LogCaptureFixture, line: str) -> None:
    """It counts as empty until it is smaller. When it is too large again, that is told again."""
    files = IgnoreFiles([os.fsencode(top)], b"")
    put(top / "a")
    for content, kept in ((line * 20_001, {"a", ".ignore"}), (line * 20_001, {"a", ".ignore"}), ("a\n", {".ignore"})):
        put(top / ".ignore", content)
        assert {path.name for path in walk(files, top)} == kept
    put(top / ".ignore", line * 20_001)
    assert {path.name for path in walk(files, top)} == {"a", ".ignore"}
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"{top}/.ignore counts as empty"] * 2


@pytest.mark.parametrize("is_absolute", [False, True])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_a_git_file_or_link_names_is_the_repository(top: Path, kind: str, is_absolute: bool) -> None:
    """By an absolute path or, as in a submodule, by one relative to the directory that has it; and so is a `commondir`."""
    for name in ("main/common/info", "main/common/objects", "main/common/refs", "main/git", "w"):
        (top / name).mkdir(parents=True)
    put(top / "main/git/HEAD", "0123456789abcdef0123456789abcdef01234567\n")
    at, there = (str(top / "main/git"), str(top / "main/common")) if is_absolute else ("../main/git", "../common")
    if kind == "file":
        put(top / "w/.git", f"gitdir: {at}\n")
    else:
        (top / "w/.git").symlink_to(at)
    put(top / "main/git/commondir", f"{there}\n")
    put(top / "main/common/info/exclude", "a\n")
    put(top / "w/a")
    put(top / "w/b")
    assert left(top / "w") == {"b"}


def test_what_is_above_a_root_counts_up_to_the_top_of_the_repository(top: Path) -> None:
    """And no further; what it says of the root itself, or of a directory above it, does not count, since the root was named."""
    put(top / ".ignore", "a\n")
    make_repository(top / "repository")
    put(top / "repository/.gitignore", "b\nroot/\n/mid/\n")
    put(top / "repository/mid/.ignore", "c\n")
    root = top / "repository/mid/root"
    for name in "abcd":
        put(root / name)
    assert left(root) == {"a", "d"}


def test_what_is_above_a_root_within_another_root_counts(top: Path) -> None:
    """Also without a repository: both roots are one tree."""
    put(top / ".ignore", "a\n")
    put(top / "x/y/a")
    put(top / "x/y/b")
    assert left(top / "x/y", roots=(top, top / "x/y")) == {"b"}
    assert left(top / "x/y") == {"a", "b"}


def test_what_is_no_regular_file_is_not_read(top: Path) -> None:
    """A FIFO is not waited for, and a link is not followed to an ignore file in the tree, as in git."""
    make_repository(top)
    put(top / "a")
    put(top / "rules", "a\n")
    os.mkfifo(top / ".ignore")
    (top / ".gitignore").symlink_to("rules")
    (top / ".shardwatchignore").mkdir()
    assert left(top) == {"a", "rules"}


@pytest.mark.parametrize("file", ["top/.gitignore", "top/.git/info/exclude", "excludes", "top/mid/.ignore"])
def test_a_change_outside_is_noticed(top: Path, file: str) -> None:
    """Above what is listed, and where nothing is listed at all; each change once."""
    make_repository(top)
    root = top / "mid/root"
    put(root / "a")
    files = IgnoreFiles([os.fsencode(top)], os.fsencode(top.parent / "excludes"))
    files.descend(os.fsencode(root))
    files.take_changed()
    files.look_outside()
    assert not files.has_changed and set(walk(files, root)) == {root / "a"}
    for text, there in (("a\n", set()), ("b\n", {root / "a"}), (None, {root / "a"})):
        path = top.parent / file
        put(path, text) if text is not None else path.unlink()
        files.look_outside()
        (changed,) = files.take_changed()
        assert os.fsencode(root).startswith(changed)
        files.look_outside()
        assert not files.has_changed and set(walk(files, root)) == there


def test_of_many_repositories_each_has_its_turn(top: Path) -> None:
    """A look outside compares `info/exclude` of a bounded number of repositories, and a thorough one of all. One that is not
    watched any more has no turn, and its files are known no longer."""
    tops = [top / f"r{number:03}" for number in range(2 * EXCLUDES_AT_ONCE + 1)]
    for repository in tops:
        make_repository(repository)
        put(repository / ".git/info/exclude", "a\n")
    files = IgnoreFiles([os.fsencode(top)], b"")
    assert list(walk(files, top)) == []
    files.take_changed()
    assert files.known == len(tops)
    for repository in tops:
        put(repository / ".git/info/exclude", "b\n")
    files.look_outside(thorough=False)
    changed = files.take_changed()
    assert len(changed) == EXCLUDES_AT_ONCE
    last = next(os.fsencode(repository) for repository in reversed(tops) if os.fsencode(repository) not in changed)
    files.forget([last])
    for _ in range(2):
        files.look_outside(thorough=False)
    assert sorted([*changed, *files.take_changed(), last]) == [os.fsencode(repository) for repository in tops]
    assert files.known == len(tops) - 1
    for repository in tops:
        put(repository / ".git/info/exclude", "c\n")
    files.look_outside()
    assert len(files.take_changed()) == len(tops) - 1


def test_a_filesystem_that_does_not_answer_changes_nothing(top: Path) -> None:
    """What was known stays, and nothing of it is touched."""
    make_repository(top)
    put(top / ".gitignore", "a\n")
    put(top / "root/a")
    silent = False

    def guard(path: bytes) -> None:
        if silent:
            raise TimeoutError(path)

    files = IgnoreFiles([os.fsencode(top)], b"", guard=guard)
    files.descend(os.fsencode(top / "root"))
    files.take_changed()
    silent = True
    (top / ".gitignore").unlink()
    files.look_outside()
    assert not files.has_changed and list(walk(files, top / "root")) == []
    silent = False
    files.look_outside()
    assert files.take_changed() == [os.fsencode(top)] and list(walk(files, top / "root")) == [top / "root/a"]
