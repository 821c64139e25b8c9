"""Whether a path is to be watched, and the rule that decides it: the same answer as that of the index, with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shardwatch.aggregator.index.opening import keeper
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.explanation.reach import Reach, Why, reach_of

STATE = b"/r/state"


def made(**fields: Any) -> Settings:
    defaults: dict[str, Any] = {"roots": (b"/r",), "include": ("*.py",), "exclude": ("build/", "!build/keep.py")}
    return Settings(**defaults | fields)


def reach(path: bytes, *, directory: bool = False, **fields: Any) -> Reach:
    return reach_of(made(**fields), path, STATE, directory=directory)


CASES: list[tuple[bytes, dict[str, Any], bool, Why]] = [
    (b"/r/a.py", {}, True, Why.FILTER_KEEPS),
    (b"/r/a.txt", {}, False, Why.LEFT_OUT),
    (b"/r/build/a.py", {}, False, Why.LEFT_OUT),
    (b"/r/sub", {"directory": True}, True, Why.FILTER_KEEPS),
    (b"/r/state", {"directory": True}, False, Why.STATE_DIRECTORY),
    (b"/r/state/x.py", {}, False, Why.STATE_DIRECTORY),
    (b"/r", {"directory": True}, True, Why.ROOT),
    (b"/", {"directory": True}, False, Why.OUTSIDE),
    (b"/rr/a.py", {}, False, Why.OUTSIDE),
    (b"/r/sub/a.py", {"recursive": False}, False, Why.NOT_RECURSIVE),
    (b"/r/sub", {"recursive": False, "directory": True}, False, Why.NOT_RECURSIVE),
    (b"/r/a.txt", {"files": (b"/r/a.txt",)}, True, Why.NAMED),
    (b"/o/b.py", {"roots": (b"/r", b"/o"), "files": (b"/o/a.py",), "only": (b"/o",)}, False, Why.NOT_NAMED),
    (b"/o/a.py", {"roots": (b"/r", b"/o"), "files": (b"/o/a.py",), "only": (b"/o",)}, True, Why.NAMED),
    (b"/r/" + b"d/" * (PATH_BYTES_MAX // 2) + b"a.py", {}, False, Why.TOO_LONG),
    (b"/r/\xff.py", {}, True, Why.FILTER_KEEPS),
]


@pytest.mark.parametrize(("path", "fields", "watched", "why"), CASES, ids=lambda value: str(value)[:40])
def test_each_reason(path: bytes, fields: dict[str, Any], watched: bool, why: Why) -> None:
    """And the root that it is about, where there is one."""
    found = reach(path, **fields)
    assert (found.watched, found.why) == (watched, why)
    assert (found.root is None) == (why is Why.OUTSIDE)


def test_the_rule_names_the_pattern_and_what_it_matches() -> None:
    """The path, or the directory above it in which nothing is looked at; by an absolute path."""
    kept = reach(b"/r/a/b.py")
    assert kept.rule == (True, "include", "*.py", b"/r/a/b.py")
    below = reach(b"/r/x/out/deep/b.py", exclude=("out/",))
    assert below.rule == (False, "exclude", "out/", b"/r/x/out")
    assert reach(b"/r/x/b.txt").rule == (False, "include", None, b"/r/x/b.txt")
    assert reach(b"/r/x/y/b.py", include=("/a/*.py",)).rule == (False, "include", None, b"/r/x")
    assert reach(b"/r/x/b.py", exclude=("x/*", "!b.py")).rule == (True, "exclude", "!b.py", b"/r/x/b.py")


names = st.sampled_from([b"a.py", b"b.txt", b"build", b"keep.py", b"sub", b"only", b"\xff.py"])
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: b"/r/" + b"/".join(parts))


@hypothesis_settings(max_examples=200)
@given(
    paths,
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from([b"/r/b.txt", b"/r/sub/b.txt", b"/r/only/b.txt"])),
    st.booleans(),
    st.lists(st.sampled_from(["build/", "!build/keep.py", "sub/*", "!*.py", "**/a.py/**"]), max_size=3, unique=True),
)
def test_it_is_what_the_index_keeps(
    path: bytes, directory: bool, recursive: bool, files: set[bytes], only: bool, exclude: list[str]
) -> None:
    """Given any settings and path: the answer is the one by which the index keeps a row or does not."""
    roots = (b"/r", b"/r/only")
    settings = made(roots=roots, recursive=recursive, files=tuple(files), only=roots[1:] if only else (), exclude=tuple(exclude))
    found = reach_of(settings, path, b"/elsewhere", directory=directory)
    if found.why is not Why.ROOT:  # the row of a root in a root belongs to the outer one
        assert found.watched == keeper(settings)(path, directory)
