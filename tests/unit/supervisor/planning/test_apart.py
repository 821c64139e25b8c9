"""Plans keep what can hang in shards of its own, by the table of mounts alone."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.kernel.mounts import can_hang, is_remote
from shardwatch.shard.contract.limits import FIRST_SHARD
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.planning.apart import Apart
from shardwatch.supervisor.planning.budget import Budget
from shardwatch.supervisor.planning.plan import Ground, Means, make_plan
from shardwatch.supervisor.planning.planning import still_fits

ROOTS = (b"/home/me", b"/net/far")
MOUNTS = [
    (b"/", "ext4"),
    (b"/net", "nfs4"),
    (b"/net/far/disk", "ext4"),
    (b"/home/me/cloud", "fuse.sshfs"),
    (b"/home/me/cloud/inner", "cifs"),
    (b"/home/me/.cache/mount", "fuse"),
    (b"/home/me/covered", "fuse"),
    (b"/home/me/covered", "tmpfs"),
    (b"/elsewhere", "nfs"),
]
TREE: dict[bytes, list[bytes]] = {
    b"/home/me": [b"a", b"b", b"cloud"],
    b"/home/me/cloud": [b"x", b"inner"],
    b"/net/far": [b"disk", b"y"],
}


def look(path: bytes) -> tuple[list[bytes], int]:
    return TREE.get(path, []), 100


def apart() -> Apart:
    return Apart(ROOTS, MOUNTS, lambda path: path.split(b"/")[-1] == b".cache")


@pytest.mark.parametrize(
    ("kind", "remote", "hangs"),
    [
        ("ext4", False, False),
        ("nfs4", True, True),
        ("fuse.bindfs", True, True),
        ("fuse", True, True),
        ("fuseblk", False, True),
        ("autofs", False, True),
        ("9p", True, True),
        ("overlay", False, False),
    ],
)
def test_what_can_be_expected_of_a_filesystem(kind: str, remote: bool, hangs: bool) -> None:
    """One table for everybody: what must be polled, and what may never answer."""
    assert (is_remote(kind), can_hang(kind)) == (remote, hangs)


def test_mounts_below_the_roots_are_cut_out() -> None:
    """Those that can hang, are not pruned and are not covered by another."""
    assert apart().cuts == (b"/home/me/cloud", b"/home/me/cloud/inner")
    assert apart().mount(b"/home/me/cloud/x") == b"/home/me/cloud"
    assert apart().mount(b"/home/me/covered/x") == b""
    assert apart().mount(b"/net/far/y") == b"/net"
    assert apart().mount(b"/net/far/disk/z") == b""
    assert apart().is_remote(b"/net/far")
    assert not apart().is_remote(b"/home/me")


def plan(shards_max: int, shards: int = 0) -> Plan:
    surroundings = apart()
    return make_plan(
        Ground(
            ROOTS, lambda path: "polling" if surroundings.is_remote(path) else "inotify", surroundings.cuts, surroundings.mount
        ),
        Means(look, shards=shards, budget=Budget(shards_max, 10_000), processors=4), generation=1, key="k",
    ).plan  # fmt: skip


@pytest.mark.parametrize("shards", [0, 2])
def test_what_can_hang_has_a_shard_of_its_own(shards: int) -> None:
    """One for each mount, beside those of the local trees; patterns stay relative to the user's roots."""
    made = plan(100, shards)
    groups = apart().groups(made.anchors)
    assert {mount: len(ids) for mount, ids in groups.items()} == {
        b"": max(1, shards), b"/net": 1, b"/home/me/cloud": 1, b"/home/me/cloud/inner": 1
    }  # fmt: skip
    assert sum(map(len, groups.values())) == len(made.shards())
    by_path = {anchor.path: anchor for anchor in made.anchors}
    assert by_path[b"/home/me/cloud"].root == b"/home/me"
    assert by_path[b"/home/me/cloud"].backend == "polling"
    assert still_fits(made, Settings(roots=ROOTS, include=("*",), exclude=(), shards=shards), "k", apart())
    later = Apart(ROOTS, [*MOUNTS, (b"/home/me/a", "nfs")], lambda path: False)
    assert not still_fits(made, Settings(roots=ROOTS, include=("*",), exclude=()), "k", later)
    unmounted = Apart(ROOTS, [m for m in MOUNTS if m[0] != b"/home/me/cloud/inner"], lambda path: b".cache" in path)
    assert unmounted.holds_for(made.anchors)


@pytest.mark.parametrize(("shards_max", "ids"), [(0, 1), (1, 1), (2, 2), (3, 3)])
def test_where_limits_leave_no_room_mounts_share(shards_max: int, ids: int) -> None:
    """What is local is apart as long as there are two."""
    made = plan(shards_max)
    assert len(made.shards()) == ids
    assert FIRST_SHARD in made.shards()  # it is started before there is a plan
    groups = apart().groups(made.anchors)
    if shards_max > 1:
        assert not groups[b""] & set().union(*(shards for mount, shards in groups.items() if mount))


def test_roots_on_one_mount_are_shared_as_ever() -> None:
    """Where everything lies on one filesystem that can hang, there is nothing to keep apart."""
    surroundings = Apart((b"/net/far",), [(b"/", "ext4"), (b"/net", "nfs")], lambda path: False)
    made = make_plan(
        Ground((b"/net/far",), lambda path: "polling", surroundings.cuts, surroundings.mount),
        Means(look, shards=2, budget=Budget(9, 100), processors=2), generation=1, key="k",
    ).plan  # fmt: skip
    assert len(made.shards()) == 2
    assert surroundings.holds_for(made.anchors)
    assert still_fits(made, Settings(roots=(b"/net/far",), include=("*",), exclude=(), shards=2), "k", surroundings)


def test_a_local_root_that_became_polled_fits_no_more() -> None:
    """An anchor that was planned for a filesystem which is gone is planned anew at the next start."""
    polled = Plan(1, (Anchor(b"/home/me", "s0", b"/home/me", backend="polling"),), "k")
    local = Apart((b"/home/me",), [(b"/", "ext4")], lambda path: False)
    assert not still_fits(polled, Settings(roots=(b"/home/me",), include=("*",), exclude=()), "k", local)
