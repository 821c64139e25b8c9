"""The filter: what it refuses, what it prunes, what it costs to import."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from unmeasured import unmeasured

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.filter import filter as filter_module
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.filter.pattern import PATTERN_CHARS_MAX, PATTERNS_MAX
from shardwatch.supervisor.config import profile

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
        b"lost+found/x.json",
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
        for i in range(20):
            assert ours.in_directory(b"d/%d/x" % i) is None
        assert ours.keeps(b"a/g.json") and ours.keeps(b"b/c/g.json") and not ours.keeps(b"b/g.json")
    assert len(ours._verdicts) <= 8 + 3


def test_describe_is_one_line() -> None:
    """What is kept and left out, in one line, whatever the patterns hold."""
    assert Filter(["*.json"], ["a\nb"]).describe() == "keeps *.json; leaves out a\\nb"
    assert Filter(["a", "b", "c", "d", "e"], []).describe() == "keeps a, b, c, d and 1 more"
    assert DEFAULT.describe().endswith(f"leaves out {len(profile.EXCLUDE)} patterns")


def test_default_profile_imports_no_pathspec() -> None:
    """A shard process pays for no pathspec, no pydantic and no hashlib to have the default filter."""
    code = (
        "import sys; from shardwatch.shard.contract.filter.filter import Filter; "
        "from shardwatch.supervisor.config import profile; "
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


HOSTILE = [
    ("*-*-*-*-*.json", b"-" * 250 + b"x"),
    ("*a*a*a*a*a*a*a*a*b", b"a" * 250),
    ("*?*?*?*?*?*?*?*?*b", b"a" * 250),
    ("*[ab]*[ab]*[ab]*[ab]*[ab]*c", b"ab" * 125),
    ("**/a/**/a/**/a/**/a/**/a/**/b/*", b"a/" * 250 + b"c"),
    ("**/*a*/**/*a*/**/*a*/**/*a*/b", b"aaaa/" * 250 + b"c"),
    ("**/?/**/?/**/?/**/?/**/b/**", b"a/" * 250 + b"c"),
    ("**/*a*a*a*a*a*b/**", b"a" * 250 + b"/x/y"),
]


@pytest.mark.parametrize(("pattern", "path"), HOSTILE)
@pytest.mark.parametrize("sign", ["", "!"])
def test_matching_takes_a_time_like_that_of_a_plain_pattern(pattern: str, path: bytes, sign: str) -> None:
    """Stars in one component, or `**` between several, where no way of sharing a path out among them fits: once each way was
    tried, for seconds or for ever. Measured beside the same path and a pattern with one star."""
    hostile = Filter(["*", sign + pattern], ["*.tmp", sign + pattern])
    plain = Filter(["*", "*.json"], ["*.tmp"])

    def cost(ours: Filter) -> float:
        begun = time.process_time()
        ours.keeps(path)
        ours.prunes(path)
        return time.process_time() - begun

    assert cost(hostile) < 1_000 * max(cost(plain), 0.000_1)


@pytest.mark.parametrize(
    ("pattern", "kept", "left_out"),
    [
        ("*-*-*.json", [b"a-b-c.json", b"--.json", b"a/-x-.json"], [b"a-b.json", b"-.json"]),
        ("*ab*abc", [b"ababc", b"abxabc", b"xababcabc"], [b"abc", b"ababcx"]),
        ("a*aba", [b"aaba", b"ababa", b"a/../aaba"], [b"aba", b"aab"]),
        ("*?.json", [b"a.json", "\u00e9.json".encode(), b"\xff.json"], [b".json"]),
        ("?.json", ["\u00e9.json".encode(), b"\xff.json"], [b"\xff\xfe.json", b".json"]),
        ("[!a]*.json", [b"b.json", b"x/b.json"], [b"a.json", b"x/a.json"]),
        ("*[!b]*", [b"ab", b"b/a"], [b"b", b"b/b"]),
        ("[]a].x", [b"].x", b"a.x"], [b"[.x"]),
        ("[!-a].x", [b"b.x"], [b"-.x", b"a.x"]),
        ("/a/**/b/**/c", [b"a/b/c", b"a/x/b/y/z/c", b"a/b/b/c/c", b"a/b/c/d"], [b"a/c/b", b"x/a/b/c", b"a/b"]),
        ("a/**/b", [b"a/b", b"a/x/b", b"a/b/x", b"a/x/y/b/z"], [b"a/x", b"b", b"x/a/b"]),
        ("**/a/b/*.json", [b"a/b/x.json", b"a/a/b/x.json", b"a/b/a/b/x.json"], [b"a/x/b/x.json", b"a/b/c/x.json"]),
        ("**/x?/**", [b"xa/f", b"a/xb/c/f"], [b"xa", b"a/x/f"]),
    ],
)
def test_each_wildcard_takes_the_first_place_where_it_fits(pattern: str, kept: list[bytes], left_out: list[bytes]) -> None:
    """And yet finds every match: what comes later has the more room for it."""
    ours = Filter([pattern], [])
    assert [path for path in kept + left_out if ours.keeps(path)] == kept


def test_patterns_mean_what_git_says() -> None:
    """A few hundred patterns of every construct, each in a directory of its own, put to `git check-ignore` all at once."""
    dice = random.Random(8)
    segments = ["a", "b", "*", "**", "a*", "*b", "*a*b*", "a?", "?", "[ab]", "[!a]", "*[!b]*"]
    segments += ["[a-c]x", "[]a]", "\\a", "[^-a]", "*?b"]
    names = ["a", "b", "ab", "ax", "bx", "aab", "b]", "-", "x", "abab"]
    patterns, asked = [], []
    with tempfile.TemporaryDirectory() as base:
        subprocess.run(["git", "init", "-q", base], check=True)
        for number in range(300):
            pattern = dice.choice(["", "/", "**/"]) + "/".join(dice.choices(segments, k=dice.randint(1, 3)))
            # `a/**/` is files in directories below to git, and all that is below to pathspec.
            patterns.append(pattern + ("" if pattern.endswith("**") else dice.choice(["", "", "/", "/**"])))
            Path(base, str(number)).mkdir()
            Path(base, str(number), ".gitignore").write_text(patterns[-1] + "\n")
            asked += [(number, "/".join(dice.choices(names, k=dice.randint(1, 4)))) for _ in range(20)]
        done = subprocess.run(
            ["git", "-C", base, "check-ignore", "--no-index", "--stdin", "-z"],
            input="\0".join(f"{number}/{path}" for number, path in asked), capture_output=True, text=True, check=False,
        )  # fmt: skip
    ignored = set(done.stdout.split("\0"))
    assert len(ignored) > 1_000
    filters = [Filter([pattern], []) for pattern in patterns]
    wrong = [
        (patterns[number], path)
        for number, path in asked
        if filters[number].keeps(path.encode()) != (f"{number}/{path}" in ignored)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (["x"] * (PATTERNS_MAX + 1), "1,001 patterns are more than 1,000"),
        (["x" * (PATTERN_CHARS_MAX + 1)], "1,025 characters, of 1,024 at most"),
        ([f"{n}" + "x" * 1_000 for n in range(33)], "of 32,768 at most"),
        (["[[:digit:]].json"], "write [0-9]"),
        (["[b-a]"], "bad character range"),
    ],
)
def test_too_many_or_too_long_patterns_are_refused(patterns: list[str], said: str) -> None:
    """On either side, with the bound; at the bound they are taken."""
    for sides in ((patterns, []), (["*"], patterns)):
        with pytest.raises(UsageError) as caught:
            Filter(*sides)
        assert said in f"{caught.value.message} {caught.value.hint}"
        assert len(caught.value.message) < 200


def test_patterns_at_their_bounds_are_taken() -> None:
    assert Filter([f"{n}*" for n in range(PATTERNS_MAX)], ["x" * PATTERN_CHARS_MAX]).keeps(b"999.json")
