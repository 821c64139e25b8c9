"""The filter: what it refuses, what it prunes, what it costs to import."""

from __future__ import annotations

import pytest
from unmeasured import unmeasured

from shardwatch.shard.contract import filter as filter_module
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.filter import Filter
from shardwatch.supervisor import profile

DEFAULT = Filter(profile.INCLUDE, profile.EXCLUDE)


@pytest.mark.parametrize(
    "path",
    [
        b"anything.json",
        b"src/a.ast.json",
        b"src/ast/b.json",
        b"a\nb/c\nd.json",
        b"\xff\xfe/\xff.json",
        b'-/%s/".json',
        b"target/lexer.ast.json",
        b"coverage/report.json",
        b"settings.json",
        b"builder/x.json",
        b"x.git/y.json",
    ],
)
def test_default_profile_keeps(path: bytes) -> None:
    """JSON anywhere in the tree is kept, whatever bytes its path holds."""
    assert DEFAULT.keeps(path)


@pytest.mark.parametrize(
    "path",
    [
        b"a.py",
        b".a.json.swp",
        b"a.json~",
        b"#a.json#",
        b".#a.json",
        b"4913",
        b"a.json.tmp",
        b"a.json___jb_tmp___",
        b"._a.json",
        b".git/x.json",
        b"deep/er/node_modules/x/ast/y.ast.json",
        b"build/a.json",
        b"target/debug/deps/a.json",
        b"package.json",
        b"web/tsconfig.app.json",
        b".mypy_cache/3.11/os.data.json",
        b".vscode/settings.json",
        b".eslintrc.json",
        b"x.egg-info/a.json",
        b"cmake-build-debug/compile.json",
    ],
)
def test_default_profile_leaves_out(path: bytes) -> None:
    """What editors, version control and build tools leave behind is not kept."""
    assert not DEFAULT.keeps(path)


@pytest.mark.parametrize(
    ("include", "exclude", "directory", "pruned"),
    [
        (["*"], ["build/"], b"build", True),
        (["*"], ["build/"], b"src/build/x", True),
        (["*"], ["**/build/**"], b"build", True),
        (["*"], ["build"], b"a/build", True),
        (["*"], ["**/build/**", "!keep.json"], b"build", False),
        (["*"], ["!keep.json", "**/build/**"], b"build", True),
        (["*"], ["**/build/**", "!/docs/build/**"], b"docs/build", False),
        (["*"], ["**/build/**", "!/docs/build/**"], b"src/build", True),
        (["*"], ["build", "!build"], b"build", False),
        (["*"], ["a/*"], b"a", False),
        (["*"], ["a/*"], b"a/b", True),
        (["*"], ["*"], b"", False),
        (["/src/**/*.json"], [], b"docs", True),
        (["/src/**/*.json"], [], b"src/a/b", False),
        (["*.json", "!vendor/**"], [], b"vendor", True),
        (["[ab]*.json"], ["[.]cache/"], b"x/.cache", True),
        (["[ab]*.json"], ["[.]cache/**"], b".cache", True),
        ([], [], b"a", True),
    ],
)
def test_prunes(include: list[str], exclude: list[str], directory: bytes, pruned: bool) -> None:
    """A directory is pruned if nothing below it can be kept, and only then; never a root."""
    assert Filter(include, exclude).prunes(directory) is pruned


@pytest.mark.parametrize("pattern", ["a[b", "a\\", "!", "[z-a]", "x/[", "?\\"])
def test_bad_pattern_is_named(pattern: str) -> None:
    """A glob that means nothing is refused by name, with a remedy."""
    with pytest.raises(UsageError) as caught:
        Filter([pattern], [])
    assert repr(pattern)[1:-1] in caught.value.message
    assert caught.value.hint


def test_bulk_form_keeps_the_order() -> None:
    """`keeps_names` gives the kept names in the order in which they came, also with both signs and slow patterns."""
    names = [b"c.json", b"a.json", b"b.txt", b"b.json", b"package.json", b"k.json"]
    assert DEFAULT.keeps_names(b"src", names) == [b"c.json", b"a.json", b"b.json", b"k.json"]
    assert DEFAULT.keeps_names(b"src/.git", names) == []
    assert Filter(["*"], []).keeps_names(b"", names) == names
    signed = Filter(["*.json", "!a*", "ab.json"], ["b*", "!b.json"])
    assert signed.keeps_names(b"x", [b"a.json", b"ab.json", b"b.json", b"ba.json"]) == [b"ab.json", b"b.json"]
    slow = Filter(["[ab].json"], ["*", "!?.json"])
    assert slow.keeps_names(b"x", names) == [b"a.json", b"b.json"]


def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More directories and programs than are remembered: the verdicts stay right."""
    monkeypatch.setattr(filter_module, "DIRECTORIES_REMEMBERED_MAX", 8)
    monkeypatch.setattr(filter_module, "_PROGRAMS_MAX", 2)
    ours = Filter(["/a/*.json", "b/c/*.json", "*/x/*.json", "d/**"], ["/b/*.json"])
    for _ in range(2):
        for i in range(20):
            assert not ours.keeps(b"e%d/f/g.json" % i)
            assert ours.keeps(b"d/%d/g.py" % i)
            assert ours.keeps(b"q%d/x/g.json" % i)
        assert ours.keeps(b"a/g.json") and ours.keeps(b"b/c/g.json") and not ours.keeps(b"b/g.json")
    assert len(ours._verdicts) <= 8 + 3


def test_fingerprint_is_of_patterns_and_order() -> None:
    """Equal patterns have one fingerprint; other patterns, another order or another side another."""
    one = Filter(["a", "b"], ["c"])
    assert one.fingerprint() == Filter(("a", "b"), ("c",)).fingerprint()
    others = [Filter(["b", "a"], ["c"]), Filter(["a"], ["b", "c"]), Filter(["a", "b"], []), Filter(["a\0b"], ["c"])]
    assert len({f.fingerprint() for f in (one, *others)}) == 5


def test_describe_is_one_line() -> None:
    """What is kept and left out, in one line, whatever the patterns hold."""
    assert Filter(["*.json"], ["a\nb"]).describe() == "keeps *.json; leaves out a\\nb"
    assert Filter(["a", "b", "c", "d", "e"], []).describe() == "keeps a, b, c, d and 1 more"
    assert DEFAULT.describe().endswith(f"leaves out {len(profile.EXCLUDE)} patterns")


def test_default_profile_imports_no_pathspec() -> None:
    """A shard process pays for no pathspec, no pydantic and no hashlib to have the default filter."""
    code = (
        "import sys; from shardwatch.shard.contract.filter import Filter; from shardwatch.supervisor import profile; "
        "f = Filter(profile.INCLUDE, profile.EXCLUDE); f.keeps(b'a/b.json'); "
        "print(sorted({'pathspec', 'pydantic', 'hashlib', 'dataclasses'} & set(sys.modules)))"
    )
    done = unmeasured(code)
    assert done.stdout.strip() == "[]"


def test_default_profile_begins_with_the_specification() -> None:
    """The specification's own patterns are all there, and no pattern twice."""
    assert profile.INCLUDE == ("*.json", "**/*.ast.json", "**/ast/*.json")
    directories = tuple(f"**/{name}/**" for name in (".git", "node_modules", "build", "dist", "__pycache__"))
    assert profile.EXCLUDE[:7] == (*directories, "**/*.tmp", "**/*.swp")
    assert len(set(profile.EXCLUDE)) == len(profile.EXCLUDE)
