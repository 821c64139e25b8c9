"""Links: reported as what they are, or, when asked for, followed into directories with loops cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from running import consuming, running, settings_for
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


def names(mirror: dict[bytes, object], root: Path) -> set[str]:
    return {os.fsdecode(path)[len(str(root)) + 1 :] for path in mirror}


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
