"""Links: reported as what they are, or, when asked for, followed into directories with loops cut."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from cli_process import run as cli
from running import consuming, running, settings_for
from scene import Mount
from waiting import eventually


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """root/real/f, root/away -> outside, root/real/up -> root (a loop), root/dangling.json -> nowhere."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    (root / "real" / "f.ast.json").write_text("{}")
    (outside / "o.ast.json").write_text("{}")
    (root / "away").symlink_to(outside)
    (root / "real" / "up").symlink_to(root)
    (root / "dangling.json").symlink_to("nowhere")
    (root / "file.json").symlink_to("real/f.ast.json")
    return root, outside


def names(mirror: Iterable[bytes], root: Path) -> set[str]:
    return {os.fsdecode(path)[len(str(root)) + 1 :] for path in list(mirror)}  # copied: its consumer goes on


def test_links_are_not_followed(state_dir: Path, linked: tuple[Path, Path], no_leaks: None) -> None:
    """A link is a file of kind link; what lies behind one to a directory is not ours."""
    root, outside = linked
    with running(state_dir, settings_for(root)) as service, consuming(state_dir) as consumer:
        wanted = {"real/f.ast.json", "dangling.json", "file.json"}
        eventually(lambda: names(consumer.mirror, root) == wanted)
        (outside / "late.ast.json").write_text("{}")
        (root / "real" / "g.ast.json").write_text("{}")
        service.client.sync()
        eventually(lambda: names(consumer.mirror, root) == {*wanted, "real/g.ast.json"})


def test_links_are_followed(state_dir: Path, linked: tuple[Path, Path], no_leaks: None) -> None:
    """Directories behind links are watched like any other, a loop is entered once, a dangling link stays a link."""
    root, outside = linked
    with running(state_dir, settings_for(root, follow_symlinks=True)) as service, consuming(state_dir) as consumer:
        wanted = {"real/f.ast.json", "away/o.ast.json", "dangling.json", "file.json"}
        eventually(lambda: names(consumer.mirror, root) == wanted)
        (outside / "late.ast.json").write_text("{}")
        (outside / "sub").mkdir()
        (outside / "sub" / "deep.ast.json").write_text("{}")
        (root / "second").symlink_to(outside)
        (root / "real" / "down").symlink_to(root / "real")
        service.client.sync()
        behind = {"o.ast.json", "late.ast.json", "sub/deep.ast.json"}
        wanted = {"real/f.ast.json", "dangling.json", "file.json"}
        wanted |= {f"{link}/{name}" for link in ("away", "second") for name in behind}
        eventually(lambda: names(consumer.mirror, root) == wanted)
        (root / "second").unlink()
        (outside / "o.ast.json").unlink()
        service.client.sync()
        wanted -= {f"second/{name}" for name in behind} | {"away/o.ast.json"}
        eventually(lambda: names(consumer.mirror, root) == wanted)


def test_where_links_lead_is_followed_over_time(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """Packages that all link to each other, a link that is pointed elsewhere, a target outside that changes: the consumer has it
    all, `status` counts one watch for each directory and says what is left out, and an audit finds no difference."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for one in range(6):
        (root / f"p{one}" / "linked").mkdir(parents=True)
        (root / f"p{one}" / "f.json").write_text("{}")
        for other in range(6):
            if other != one:
                (root / f"p{one}" / "linked" / f"p{other}").symlink_to(f"../../p{other}")
    for version in ("v1", "v2"):
        (outside / version).mkdir(parents=True)
        (outside / version / f"{version}.json").write_text("{}")
    (root / "current").symlink_to(outside / "v1")
    (root / "file.json").symlink_to(outside / "v1" / "v1.json")
    with running(state_dir, settings_for(root, follow_symlinks=True)) as service, consuming(state_dir) as consumer:
        service.client.sync()
        eventually(lambda: {"current/v1.json", "file.json", "p0/f.json"} <= names(consumer.mirror, root))
        eventually(lambda: sum("p0/f.json" in name for name in names(consumer.mirror, root)) == 14)
        (root / "n").symlink_to(outside / "v2")
        (root / "n").rename(root / "current")
        (outside / "v1" / "v1.json").write_text("[1, 2]")
        eventually(lambda: "current/v2.json" in names(consumer.mirror, root))
        eventually(lambda: consumer.mirror[os.fsencode(root / "file.json")][0] == 6)
        eventually(lambda: "current/v1.json" not in names(consumer.mirror, root))
        status = service.client.status()
        real, above = 13 + 2, len((outside / "v1").parents)
        assert 13 < sum(shard["watches"] for shard in status["shards"]) <= real + above
        assert [doubt["state"] for doubt in status["degraded"]] == ["not followed"]
        done = cli("audit", "--json", "--state-dir", state_dir, check=False)
        assert (done.returncode, json.loads(done.stdout)["differences"]) == (0, [])


@pytest.mark.root
def test_links_over_mounts_and_to_other_roots(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """What is mounted over a part of a link's way is what it leads to, and no hint says so; another root has two names."""
    root, other, outside = tmp_path / "root", tmp_path / "other", tmp_path / "outside"
    for directory in (root, other, outside / "d"):
        directory.mkdir(parents=True)
    (outside / "d" / "f.json").write_text("{}")
    (other / "o.json").write_text("{}")
    (root / "dir").symlink_to(outside / "d")
    (root / "file.json").symlink_to("../outside/d/f.json")
    (root / "other").symlink_to(other)
    with running(state_dir, settings_for(root, other, follow_symlinks=True)) as service, consuming(state_dir) as consumer:

        def sizes() -> list[int]:
            names = (root / "file.json", root / "dir" / "f.json", other / "o.json", root / "other" / "o.json")
            return [consumer.mirror.get(os.fsencode(name), (-1, 0))[0] for name in names]

        eventually(lambda: sizes() == [2, 2, 2, 2])
        (other / "o.json").write_text("[1]")
        eventually(lambda: sizes() == [2, 2, 3, 3])
        with Mount("-t", "tmpfs", "tmpfs", outside) as mount:
            (outside / "d").mkdir()
            (outside / "d" / "f.json").write_text("[1, 2]")
            eventually(lambda: sizes() == [6, 6, 3, 3])
            (outside / "d" / "f.json").write_text("[]")
            eventually(lambda: sizes() == [2, 2, 3, 3])
            (outside / "d" / "f.json").write_text("[1, 2, 3]")
            eventually(lambda: sizes() == [9, 9, 3, 3])
            mount.remove()
            eventually(lambda: sizes() == [2, 2, 3, 3])
        service.client.sync()
