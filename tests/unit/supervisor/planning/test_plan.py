"""The plan: nested roots, the choice of shards, budgets, and the real look at a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.planfile import Owners
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.config import profile
from shardwatch.supervisor.planning.budget import Budget
from shardwatch.supervisor.planning.key import plan_key
from shardwatch.supervisor.planning.plan import GLANCES, Effort, Ground, Means, PlanResult, choose_shards, make_plan
from shardwatch.supervisor.planning.tree_look import TreeLook

PLENTY = Budget(shards_max=100, watches_max=10**9)


def look_at(tree: dict[bytes, tuple[list[bytes], int]]) -> Any:
    return lambda path: tree.get(path, ([], 0))


def regular(branches: int, depth: int, files: int) -> dict[bytes, tuple[list[bytes], int]]:
    """A tree in which every directory has as many subdirectories and files as any other, but for the leaves."""
    tree, level = {}, [b"/r"]
    for left in range(depth, -1, -1):
        names = [b"d%d" % i for i in range(branches)] if left else []
        tree.update(dict.fromkeys(level, (names, files)))
        level = [path + b"/" + name for path in level for name in names]
    return tree


def planned(roots: list[bytes], tree: dict[bytes, tuple[list[bytes], int]], **how: Any) -> PlanResult:
    """`how`: arguments of make_plan, of Ground, of Means and of Effort."""
    ground = {name: how.pop(name) for name in ("backend", "cuts", "mount") if name in how}
    effort = {name: how.pop(name) for name in Effort.__struct_fields__ if name in how}
    means = {name: how.pop(name) for name in Means.__struct_fields__ if name in how}
    where = Ground(roots, **{"backend": lambda path: "inotify", **ground})
    given: dict[str, Any] = {"shards": 2, "budget": PLENTY, "processors": 2, **means}
    return make_plan(where, Means(look_at(tree), effort=Effort(**effort), **given), **{"generation": 3, "key": "k", **how})


def test_nested_roots_stay_anchors_of_their_own() -> None:
    """A root inside another is weighed once, is an anchor, and its own anchors' root is itself."""
    tree = regular(3, 4, 2)
    inner = b"/r/d1/d2"
    result = planned([b"/r", inner], tree, shards=3)
    assert result.directories == len(tree) and result.files == 2 * len(tree)
    anchors = {anchor.path: anchor for anchor in result.plan.anchors}
    assert {b"/r", inner} <= set(anchors)
    for path, anchor in anchors.items():
        assert anchor.root == (inner if path == inner or path.startswith(inner + b"/") else b"/r")
    assert sum(anchor.directories for anchor in anchors.values()) == len(tree)
    assert (result.plan.generation, result.plan.key) == (3, "k")


def test_the_root_directory_can_be_a_root() -> None:
    """Paths below / have one slash."""
    tree = {b"/": ([b"a", b"b"], 1), b"/a": ([], 5), b"/b": ([], 5)}
    result = planned([b"/"], tree)
    assert {anchor.path for anchor in result.plan.anchors} <= {b"/", b"/a", b"/b"}
    assert result.directories == 3 and result.balance <= 1.5


@pytest.mark.parametrize(
    ("entries", "processors", "expected"),
    [
        (0, 8, 1), (199_999, 8, 1), (200_000, 3, 2), (1_100_000, 64, 2), (2_199_999, 64, 2), (2_200_000, 64, 3), (10**7, 64, 8),
        (1_249_999, 2, 1), (1_250_000, 2, 2), (1_250_000, 1, 2), (10**7, 2, 4), (3 * 10**6, 3, 3),
    ],
)
def test_number_of_shards_chosen(entries: int, processors: int, expected: int) -> None:
    """One for a small tree, else from two to eight, one for each 1.1 million entries; as far as there are processors, or twice
    that for a huge tree. A million files in 100,000 directories have two at most, whatever the machine: so their memory stays
    within what it may be."""
    assert choose_shards(entries, processors) == expected


def test_shards_are_bounded_by_the_instances_left() -> None:
    """Asked for eight with three instances left: three; with none left one all the same, which then polls."""
    tree = regular(5, 3, 1)
    assert len(planned([b"/r"], tree, shards=8, budget=Budget(3, 10**9)).plan.shards()) == 3
    assert len(planned([b"/r"], tree, shards=8, budget=Budget(0, 10**9)).plan.shards()) == 1
    assert len(planned([b"/r"], tree, shards=0).plan.shards()) == 1
    assert planned([b"/r"], tree, shards=8).plan.shards() == [f"s{i}" for i in range(8)]


def test_without_any_watch_all_is_swept() -> None:
    """A budget of nothing: every shard may take one watch, so that it sweeps the rest and says why; all of it is counted."""
    tree = regular(3, 3, 1)
    result = planned([b"/r"], tree, budget=Budget(5, 0))
    assert {anchor.backend for anchor in result.plan.anchors} == {"inotify"}
    assert set(result.plan.watches.values()) == {1}
    assert result.over_budget == len(tree)


def test_other_backends_take_no_watches() -> None:
    """What the backend function names is used for each anchor, and what is polled anyway is not over the budget."""
    tree = regular(3, 3, 1)
    result = planned(
        [b"/r"],
        tree,
        backend=lambda path: "polling" if path.startswith(b"/r/d0") else "inotify",
        budget=Budget(5, 1000),
    )
    owners = Owners(result.plan.anchors)
    assert result.over_budget == 0
    assert owners.of(b"/r/d2/d1").backend == "inotify"  # type: ignore[union-attr]


def test_anchors_are_bounded() -> None:
    """A flat tree of more directories than anchors allowed: the plan stays short, and every directory is owned."""
    tree: dict[bytes, tuple[list[bytes], int]] = {b"/r": ([b"d%d" % i for i in range(1000)], 0)}
    result = planned([b"/r"], tree, anchors_max=50)
    assert len(result.plan.anchors) <= 50
    assert result.directories == 1001
    assert sum(anchor.directories for anchor in result.plan.anchors) == 1001


class Counting:
    """A look that also counts subdirectories, as a filesystem with st_nlink does."""

    def __init__(self, tree: dict[bytes, tuple[list[bytes], int]]) -> None:
        self.tree = tree
        self.read: list[bytes] = []

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        self.read.append(path)
        return self.tree[path]

    def count(self, path: bytes) -> int:
        return len(self.tree[path][0])


def test_counted_leaves_are_read_last() -> None:
    """With subdirectories counted, reads go where there is more to find, and the number of directories is exact."""
    tree: dict[bytes, tuple[list[bytes], int]] = {b"/r": ([b"d%d" % i for i in range(400)], 0)}
    tree.update({b"/r/d%d" % i: ([], 10) for i in range(400)})
    tree[b"/r/d7"] = ([b"e%d" % i for i in range(100)], 10)
    tree.update({b"/r/d7/e%d" % i: ([], 10) for i in range(100)})
    look = Counting(tree)
    means = Means(look, shards=2, budget=PLENTY, processors=2, effort=Effort(reads_max=80))
    result = make_plan(Ground([b"/r"], lambda path: "inotify"), means, generation=1, key="")
    assert look.read[:2] == [b"/r", b"/r/d7"] and len(look.read) == result.looked == 80
    assert result.directories == len(tree) and not result.exact
    assert result.balance < 1.1


def test_a_glance_does_where_one_shard_does() -> None:
    """Few reads tell that a tree is small, and fewer that it is very small, unless most of the estimate is of what was not even
    found. Where they don't, or shards were asked for, it is weighed as ever."""
    first, second = (reads for reads, _ in GLANCES)
    tiny, small, middle, large = regular(10, 2, 1), regular(40, 2, 1), regular(40, 2, 30), regular(40, 2, 200)
    assert planned([b"/r"], tiny, shards=0, glance=True).looked == first
    assert planned([b"/r"], small, shards=0, glance=True).looked == second  # it may be four times as large as what was found
    assert len(planned([b"/r"], small, shards=0, glance=True).plan.shards()) == 1
    assert planned([b"/r"], small, shards=0).looked == 1641
    assert planned([b"/r"], large, shards=0, glance=True, processors=4).looked == 1641
    assert len(planned([b"/r"], large, shards=0, glance=True, processors=4).plan.shards()) == 2
    assert planned([b"/r"], middle, shards=0, glance=True, processors=4).looked == second
    assert len(planned([b"/r"], middle, shards=0, glance=True, processors=4).plan.shards()) == 1
    assert planned([b"/r"], large, shards=0, glance=True, processors=2).looked == second  # one does there
    nearly = regular(40, 2, 100)  # five sixths of what needs two
    assert planned([b"/r"], nearly, shards=0, glance=True, processors=4).looked == second
    assert planned([b"/r"], small, shards=2, glance=True).looked == 1641


def test_plan_key_is_of_what_decides_which_rows_exist() -> None:
    """Other roots, patterns or ways to walk give another key; other timings and shards do not."""
    one = Settings(roots=(b"/\xff",), include=("*",), exclude=())
    assert plan_key(one) == plan_key(msgspec.structs.replace(one, settle_ms=9, shards=3, poll_ms=77))
    others: list[dict[str, Any]] = [{"roots": (b"/a",)}, {"include": ("a",)}, {"exclude": ("a",)}, {"recursive": False}]
    others += [{"follow_symlinks": True}, {"directories": True}]
    assert len({plan_key(one), *(plan_key(msgspec.structs.replace(one, **other)) for other in others)}) == 7


def test_tree_look_gives_kept_files_and_unpruned_directories(tmp_path: Path) -> None:
    """The real look: pruned directories and files that are not kept do not count; unreadable places hold nothing."""
    root = os.fsencode(tmp_path)
    for name in ("a/b", "node_modules/x", ".git", "a/inner"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("x.json", "y.py", "a/z.json", "a/b/w.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "a/loop").symlink_to("..")
    (tmp_path / "a/dangling").symlink_to("none")
    settings = Settings(roots=(root,), include=profile.INCLUDE, exclude=profile.EXCLUDE)
    ours = Filter(settings.include, settings.exclude)
    look = TreeLook(ours, settings)
    assert look(root) == ([b"a"], 1)
    assert sorted(look(root + b"/a")[0]) == [b"b", b"inner"]
    assert look(root + b"/none") == ([], 0)
    assert look(b"/elsewhere") == ([], 0)
    assert TreeLook(ours, msgspec.structs.replace(settings, recursive=False))(root) == ([], 1)
    assert (look.count(root), look.count(root + b"/none")) in ((3, 0), (-1, 0))
    assert look.count(root + b"/link") == -1
    linked = TreeLook(ours, msgspec.structs.replace(settings, follow_symlinks=True))
    assert sorted(linked(root)[0]) == [b"a", b"link"]
    assert sorted(linked(root + b"/a")[0]) == [b"b", b"inner"]
    (tmp_path / "a/other").symlink_to("../node_modules")
    (tmp_path / "a/kernel").symlink_to("/proc")
    assert b"kernel" not in linked(root + b"/a")[0], "a shard does not enter what the kernel makes up"
    assert b"other" in linked(root + b"/a")[0]
    whole = TreeLook(Filter(("**",), ()), Settings(roots=(b"/",), include=("**",), exclude=()))
    assert whole(b"/proc") == whole(b"/proc/self/task") == ([], 0) and whole(b"/usr")[0]
    below = whole(b"/")[0]
    assert b"usr" in below and not {b"proc", b"sys"} & set(below), "nor where one is mounted below a root"
    assert b"other" not in linked(root + b"/link")[0], "one link on a path is enough to plan by"
