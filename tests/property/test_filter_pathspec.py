"""pathspec's GitIgnoreSpec defines what patterns mean; the filter, its bulk form and its pruning never differ from it.

A class like `[!a]` never matches a slash, as in git, where pathspec's own regular expressions let it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.supervisor.config import profile

NAMES = ["a", "b", "ab", "a.json", "b.ast.json", "ast", "x.swp", "build", ".git", "node_modules", "target", "debug"]
NAMES += ["package.json", "#x#", ".#x.json", "x~", "4913", "é", "a\nb", "\udcff", "-", "%", '"', " ", "*"]
SEGMENTS = ["a", "b", "ab", "*", "**", "***", "*.json", "*.ast.json", "ast", "a*", "*b", "a*b", "build", ".git", "é"]
SEGMENTS += ["\\a", "\\*", "?", "[ab]", "a?", "[!a]", "*[!b]*", "[a-c]*", "node_modules", "x.swp", "", " "]
SEGMENTS += ["*a*b*", "*.*.json", "?*b", "*?", "a*[bc]*n", "[!a-c]*", "[]a]", "[a-]", "[^-a]", "[a\\b]*", "[&|~]", "*?.*"]

names = st.sampled_from(NAMES) | st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=5).map("/".join)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A pattern of the default profile, or one made of parts that matter to gitignore."""
    if draw(st.integers(0, 2)) == 0:
        sign = "!" if draw(st.integers(0, 3)) == 0 else ""
        return sign + draw(st.sampled_from(profile.INCLUDE + profile.EXCLUDE))
    body = "/".join(draw(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3)))
    return "".join(
        [
            draw(st.sampled_from(["", "", "", "!"])),
            draw(st.sampled_from(["", "", "/", "**/"])),
            body,
            draw(st.sampled_from(["", "", "/", "/**"])),
        ]
    )


class Pattern(GitIgnoreSpecPattern):
    @classmethod
    def pattern_to_regex(cls, pattern: Any) -> Any:
        regex, include = super().pattern_to_regex(pattern)
        return regex and regex.replace("[^/]", "\0").replace("[^", "(?!/)[^").replace("\0", "[^/]"), include


def spec(lines: list[str]) -> GitIgnoreSpec:
    return GitIgnoreSpec([Pattern(line) for line in lines if line], backend="simple")


def encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def meant(path: str, include: GitIgnoreSpec, exclude: GitIgnoreSpec) -> bool:
    """What pathspec says, with a newline as an ordinary character: its own regular expressions stop at one."""
    path = path.replace("\n", "\x01").replace("\r", "\x02")
    return bool(include.match_file(path)) and not exclude.match_file(path)


def normal(path: str) -> bool:
    """Paths that surrogateescape can hold and that pathspec takes as they are."""
    try:
        encode(path)
    except UnicodeEncodeError:
        return False
    return encode(path).decode("utf-8", "surrogateescape") == path


def test_the_default_profile_says_the_same_of_directories_side_by_side() -> None:
    """In a root and below it, unless a name of theirs turns it; and of all of its patterns it is known what they are made of."""
    ours = Filter(profile.AST.include, profile.AST.exclude)
    for directory in (b"", b"src"):
        alike = ours.in_each(directory, [b"a", b"b"])
        assert alike is not None
        assert alike[1].drop(alike[0].pick([b"x.json", b"._x.json", b"x_BACKUP_1.json", b"x"])) == [b"x.json"]
        assert ours.in_directory(directory) == ours.in_directory(b"src/a") == alike
        assert ours.in_each(directory, [b"a", b"ast"]) is None or ours.in_each(directory, [b"ast"]) == alike
    assert Filter(["*.json", "x?"], []).in_each(b"src", [b"a"]) is None
    assert Filter(["*.json"], ["a/*.json"]).in_each(b"", [b"a", b"b"]) is None
    assert Filter(["*"], ["a*", "!ab"]).in_each(b"src", [b"c"]) is None


@settings(max_examples=200)
@given(
    st.lists(patterns(), min_size=1, max_size=3),
    st.lists(patterns(), max_size=5),
    st.lists(paths.filter(normal), min_size=1, max_size=8),
)
def test_filter_means_what_pathspec_means(include: list[str], exclude: list[str], tree: list[str]) -> None:
    """Given any lists and paths, `keeps` and `keeps_names` agree with pathspec, and nothing kept lies in a pruned one."""
    try:
        ours = Filter(include, exclude)
    except UsageError:
        return  # What pathspec refuses or silently drops; test_filter.py has those.
    inside, outside = spec(include), spec(exclude)
    for path in tree:
        expected = meant(path, inside, outside)
        raw = encode(path)
        directory, _, name = raw.rpartition(b"/")
        assert ours.keeps(raw) == expected, path
        assert ours.keeps_names(directory, [name]) == ([name] if expected else []), path
        above = directory
        while above:
            assert not (expected and ours.prunes(above)), (path, above)
            below = above
            above, _, name = below.rpartition(b"/")
            assert ours.descends(above, [name]) == ([] if ours.prunes(below) else [name]), (path, below)


#: Names of which some are those of the default profile's patterns, or nearly.
near_names = st.one_of(
    st.sampled_from(["turbo.json", "tsconfig.json", "4913", ".last-run.json", ".DS_Store"]),
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", ".#", "._", "#", ".", "tsconfig.", "tsconfig-", "a_BACKUP_1", "é"]),
            st.sampled_from(["", "a", "rc", ".deps", ".runtimeconfig", "unit"]),
            st.sampled_from(["", ".json", ".json~", ".tmp", ".swp", "#", "___jb_tmp___", ".JSON", "\n.json"]),
        ),
    ).filter(lambda name: name not in ("", ".", "..")),
)


@settings(max_examples=200)
@given(
    st.sampled_from([["*.json"], ["*.json", "*.tmp"], ["*"], ["a*", "!*.tmp"], ["*.jso[nN]"], ["unit.json"]]),
    st.one_of(st.just(list(profile.EXCLUDE)), st.lists(patterns(), max_size=5)),
    st.lists(near_names, min_size=1, max_size=40, unique=True),
)
def test_names_decided_together_and_each_by_itself(include: list[str], exclude: list[str], names: list[str]) -> None:
    """Given many names in one directory, those are kept that are kept one by one, in their order."""
    try:
        ours = Filter(include, exclude)
    except UsageError:
        return
    together = list(map(encode, names))
    for directory in (b"", b"src"):
        expected = [name for name in together if ours.keeps(directory + b"/" + name if directory else name)]
        assert ours.keeps_names(directory, together) == expected
        assert set(ours.keeps_names(directory, set(together))) == set(expected)
        entered = [name for name in together if not ours.prunes(directory + b"/" + name if directory else name)]
        assert ours.descends(directory, together) == entered
        alike = ours.in_each(directory, entered)
        if alike is not None:
            picked, left_out = alike
            kept = left_out.drop(picked.pick(together))
            assert all(ours.keeps_names(directory + b"/" + name if directory else name, together) == kept for name in entered)
        for below in (directory, *(directory + b"/" + name if directory else name for name in together)):
            one = ours.in_directory(below)
            kept = ours.keeps_names(below, together)
            assert one is None or one[1].drop(one[0].pick(together)) == kept
            assert ours.in_directory(below) == one
        plain = [name for name in together if name.endswith(b"unit.json")] * 30
        assert ours.keeps_names(directory, plain) == [name for name in plain if name in expected]


@settings(max_examples=200)
@given(
    st.lists(patterns(), min_size=1, max_size=3),
    st.lists(patterns(), max_size=5),
    st.lists(paths.filter(normal), min_size=1, max_size=8),
)
def test_what_is_said_to_decide_does_decide(include: list[str], exclude: list[str], tree: list[str]) -> None:
    """Given any lists and paths, the decision is that of the filter, and the pattern that it names matches what it names."""
    try:
        ours = Filter(include, exclude)
    except UsageError:
        return
    for path in map(encode, tree):
        found = ours.decision(path)
        assert found.kept == ours.keeps(path), path
        assert ours.decision(path, directory=True).kept != ours.prunes(path), path
        if found.pattern is None:
            assert (found.kept, found.side) == (False, "include")
            assert not any(Filter([pattern], []).keeps(path) for pattern in include), path
            continue
        assert found.pattern in (include if found.side == "include" else exclude)
        assert path == found.at or path.startswith(found.at + b"/" if found.at else b""), path
        assert Filter([found.pattern.removeprefix("!")], []).keeps(path), path
        assert found.pattern.startswith("!") != (found.kept == (found.side == "include")), path


@settings(max_examples=100)
@given(st.lists(paths.filter(normal), min_size=1, max_size=20))
def test_default_profile_means_what_pathspec_means(tree: list[str]) -> None:
    """Given any paths, the default profile's fast path agrees with pathspec."""
    ours = Filter(profile.INCLUDE, profile.EXCLUDE)
    for path in tree:
        assert ours.keeps(encode(path)) == meant(path, DEFAULT_INCLUDE, DEFAULT_EXCLUDE), path


@settings(max_examples=100)
@given(
    st.lists(patterns(), min_size=1, max_size=2),
    st.lists(patterns(), max_size=4),
    paths.filter(normal),
    st.lists(paths.filter(normal), min_size=1, max_size=10),
)
def test_nothing_below_a_pruned_directory_is_kept(
    include: list[str], exclude: list[str], directory: str, below: list[str]
) -> None:
    """Given a directory that is pruned, no path below it is one that pathspec keeps."""
    try:
        ours = Filter(include, exclude)
    except UsageError:
        return
    if ours.prunes(encode(directory)):
        inside, outside = spec(include), spec(exclude)
        for path in below:
            assert not meant(f"{directory}/{path}", inside, outside)


DEFAULT_INCLUDE = spec(list(profile.INCLUDE))
DEFAULT_EXCLUDE = spec(list(profile.EXCLUDE))
