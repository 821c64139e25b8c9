"""What ignore files leave out is what `git check-ignore` says, for any patterns and trees."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from repository import git, make_repository

from shardwatch.shard.disk.ignore_files import IgnoreFiles

NAMES = [b"a", b"b", b"ab", b"foo", b"foobar", b"bar", b"a.o", b"x y", b"x ", b"#c", b"!n", b"[a]", b"a\\b", b"*", b"-", b"]"]
NAMES += ["é".encode(), b"\xff\xfe", b"A", b"7", b" ", b"a\nb", b"build", b".hid"]
#: What patterns are made of: wildcards, names, escapes, and classes, also broken ones.
PARTS = [b"*", b"**", b"***", b"?", b"a*", b"*b", b"*.o", b"foo**", b"**bar", b"*a*b*", b"\xff*", b"\xc3?", b"**\\/b"]
PARTS += [b"a", b"b", b"foo", b"bar", b"build", b".o", b" ", b"x y", b"", b"\\", b"\\*", b"\\a", b"\\#c", b"\\!n", b"\\ "]
PARTS += [b"[ab]", b"[!a]", b"[^a]", b"[a-c]", b"[]a]", b"[!]a]", b"[a-]", b"[a\\]b]", b"[z-a]", b"[+--]", b"[\\a-\\c]", b"[/]"]
PARTS += [b"[a", b"[", b"[[a]", b"[[:]", b"[[:foo:]]", b"[[:^alpha:]]", b"[[:space:][:digit:]]", b"[[:upper:]-z]"]
PARTS += [b"\\\\", *(b"[[:%b:]]?" % name for name in b"punct alpha lower alnum blank cntrl graph print xdigit".split())]

lines = st.builds(
    lambda sign, lead, parts, end: sign + lead + b"/".join(parts) + end,
    st.sampled_from([b"", b"", b"", b"!", b"#", b"\\"]),
    st.sampled_from([b"", b"", b"/", b"**/", b"//"]),
    st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(b"".join), min_size=1, max_size=3),
    st.sampled_from([b"", b"", b"", b"/", b"/**", b"/*", b" ", b"\\ ", b"  ", b"\t", b"\r", b"/ "]),
)
contents = st.builds(
    lambda mark, some, end: mark + b"\n".join(some) + end,
    st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]),
    st.lists(lines, min_size=1, max_size=5),
    st.sampled_from([b"", b"\n", b"\r\n"]),
)
names = st.sampled_from(NAMES)
trees = st.lists(st.lists(names, min_size=1, max_size=4), min_size=1, max_size=10)


def said_by_git(top: bytes, excludes: bytes, paths: list[bytes]) -> dict[bytes, tuple[bytes, int] | None]:
    """For each path: the ignore file and the line that ignore it, or None."""
    arguments = ("-c", f"core.excludesFile={os.fsdecode(excludes)}", "check-ignore", "--no-index", "-v", "-n", "-z", "--stdin")
    fields = git(Path(os.fsdecode(top)), *arguments, given=b"\0".join(paths), codes=(0, 1)).split(b"\0")[:-1]
    found: dict[bytes, tuple[bytes, int] | None] = {}
    for source, line, pattern, path in zip(*[iter(fields)] * 4, strict=True):
        ignores = bool(source) and not pattern.startswith(b"!")
        found[path] = (os.path.join(top, source), int(line)) if ignores else None
    return found


def walked(files: IgnoreFiles, top: bytes) -> Iterator[tuple[bytes, tuple[bytes, int] | None]]:
    """The same for everything below a directory, as we see it: what lies in an ignored directory is not looked at."""
    below = [top]
    while below:
        at = below.pop()
        with os.scandir(at) as entries:
            kinds = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        directories = [name for name, is_directory in kinds.items() if is_directory]
        others = [name for name, is_directory in kinds.items() if not is_directory]
        files.meet(at, others, directories)
        kept = {*files.files(at, others), *files.directories(at, directories)}
        for name, is_directory in kinds.items():
            path = os.path.join(at, name)
            if name == b".git":
                assert name not in kept
                continue
            cause = files.cause(path, directory=is_directory)
            ignores = cause is not None and not cause.rule.negated
            assert (name in kept) is not ignores
            yield path, (cause.source, cause.rule.line) if cause is not None and ignores else None
            if is_directory and not ignores:
                below.append(path)


def plant(top: bytes, tree: list[list[bytes]], nested: list[tuple[list[bytes], bytes]]) -> None:
    for parts in tree:
        try:
            os.makedirs(os.path.join(top, *parts[:-1]), exist_ok=True)
            if not os.path.lexists(os.path.join(top, *parts)):
                Path(os.fsdecode(os.path.join(top, *parts))).write_bytes(b"")
        except (FileExistsError, NotADirectoryError):
            continue  # a file has that name already
    for parts, content in nested:
        directory = os.path.join(top, *parts)
        if os.path.isdir(directory):
            Path(os.fsdecode(os.path.join(directory, b".gitignore"))).write_bytes(content)


@settings(max_examples=120, deadline=None)
@given(
    trees,
    st.lists(st.tuples(st.lists(names, max_size=2), contents), min_size=1, max_size=3),
    st.just(b"") | contents,
    st.just(b"") | contents,
)
@example([[b"foobar"], [b"foo", b"x", b"bar"], [b"a", b"foobar"]], [([], b"foo**/bar\na/foo**/bar\n")], b"", b"")
@example([[b"x "], [b"x y"], [b"x"]], [([], b"x\\ \nx \n")], b"", b"")
@example([[b"a", b"b", b"foo"]], [([], b"a/b/\n!a/b/foo\n"), ([b"a"], b"!b\n")], b"", b"")
@example([[b"a", b"b"]], [([b"a"], b"!b\n")], b"b\n", b"a\n")
def test_it_is_what_git_says(
    tree: list[list[bytes]], nested: list[tuple[list[bytes], bytes]], exclude: bytes, excludes: bytes
) -> None:
    """Given any tree and any ignore files, each path has the verdict of git, by the same file and line."""
    with tempfile.TemporaryDirectory() as scratch:
        top = os.path.realpath(os.fsencode(scratch)) + b"/top"
        os.mkdir(top)
        everywhere = os.path.dirname(top) + b"/excludes"
        plant(top, tree, nested)
        make_repository(Path(os.fsdecode(top)))
        Path(os.fsdecode(top + b"/.git/info/exclude")).write_bytes(exclude)
        Path(os.fsdecode(everywhere)).write_bytes(excludes)
        files = IgnoreFiles([top], everywhere)
        files.descend(top)
        ours = dict(walked(files, top))
        theirs = said_by_git(top, everywhere, [os.path.relpath(path, top) for path in ours])
        assert ours == {os.path.join(top, path): verdict for path, verdict in theirs.items()}
