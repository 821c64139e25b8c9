"""`init`: from a tree to a configuration that the other commands take."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_process import run

FILE = "shardwatch.toml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A few files of two kinds, one of them ignored."""
    place = tmp_path / "project"
    (place / "src").mkdir(parents=True)
    for name in ("src/a.py", "src/b.py", "readme.md", "x.log"):
        (place / name).touch()
    (place / ".ignore").write_text("*.log\n")
    return place


def test_the_file_is_what_plan_and_config_take(project: Path) -> None:
    """It is written where people then work; what it names is what is watched; others can't change it."""
    said = run("init", cwd=project, umask=0o002).stdout
    file = project / FILE
    assert f"wrote {file}: 4 files in 2 directories" in said
    assert file.stat().st_mode & 0o777 == 0o644
    assert "2 .py, 1 .md" in file.read_text()
    plan = json.loads(run("plan", "--json", cwd=project).stdout)
    assert [root["path"] for root in plan["roots"]] == [str(project)]
    assert (plan["files"], plan["directories"]) == (5, 2)  # with the file itself
    config = json.loads(run("config", "--json", cwd=project / "src").stdout)
    assert config["config_file"] == str(file)
    assert config["options"]["include"]["value"] == ["*"] and config["options"]["ignore_files"]["value"] is True


def test_what_is_there_is_never_overwritten(project: Path) -> None:
    """Whatever has the name, be it a link that leads nowhere. What would be written can be seen all the same."""
    file = project / FILE
    file.write_text("# mine\n")
    refused = run("init", project, check=False)
    assert refused.returncode == 2 and refused.stdout == ""
    assert f"{file} is there already" in refused.stderr and "--stdout" in refused.stderr
    assert file.read_text() == "# mine\n"
    file.unlink()
    file.symlink_to(project / "elsewhere")
    assert run("init", project, check=False).returncode == 2
    assert 'roots = ["."]' in run("init", project, "--stdout").stdout
    assert not (project / "elsewhere").exists()


def test_wrong_places_are_refused(project: Path) -> None:
    """A file, what is not there, and where the file can't be written to its end: one line, and nothing is left behind. Where
    others may replace the file it is written, with a warning."""
    for place in (project / "readme.md", project / "nowhere"):
        refused = run("init", place, check=False)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    gone = run("init", odd=["gone"], check=False)
    assert gone.returncode == 2 and "the working directory can't be found" in gone.stderr
    full = run("init", project, odd=["fsize=100"], check=False)
    assert full.returncode == 1 and str(project / FILE) in full.stderr
    assert not (project / FILE).exists()
    os.chmod(project, 0o777)
    assert "is not used" in run("init", project).stderr, "whoever can put a file there decides what is watched"


def test_odd_names(tmp_path: Path) -> None:
    """Names with newlines, quotes and bytes that are no text are neither in the file nor in the way."""
    place = tmp_path / os.fsdecode(b'odd "\n\xff')
    place.mkdir()
    (place / os.fsdecode(b'x.p"y')).touch()
    (place / os.fsdecode(b"\xff.\xff\n")).touch()
    run("init", place)
    assert json.loads(run("plan", "--json", cwd=place).stdout)["files"] == 3
