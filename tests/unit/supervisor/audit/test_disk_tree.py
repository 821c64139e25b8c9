"""The disk as an audit walks it, with what a shard would not look at left out."""

from __future__ import annotations

from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.audit.bounded_look import BoundedLook
from shardwatch.supervisor.audit.disk_tree import DiskTree
from shardwatch.supervisor.host.scouting import Scouts


def test_an_audit_passes_over_what_the_kernel_makes_up_below_a_root() -> None:
    """Here /proc below /, as a walk comes upon it and by a path in it; nothing else is left out."""
    settings = Settings(roots=(b"/",), include=("**",), exclude=("/*", "!/proc", "!/etc"))
    with Scouts() as scouts, BoundedLook(scouts, follow=False) as look:
        tree = DiskTree(settings, b"/nowhere", look)
        found = dict(tree.directories(lambda path: path in (b"/", b"/proc", b"/etc")))
        at = {path: tree.at(path) for path in (b"/proc/uptime", b"/proc", b"/etc/passwd")}
    assert found[b"/proc"] == {} and {(b"proc", 1), (b"etc", 1)} <= found[b"/"].keys()
    assert (b"passwd", 0) in found[b"/etc"]
    assert at[b"/proc/uptime"] == {} and list(at[b"/proc"]) == [(b"proc", 1)] and list(at[b"/etc/passwd"]) == [(b"passwd", 0)]
