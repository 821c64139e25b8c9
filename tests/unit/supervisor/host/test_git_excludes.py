"""Where git reads its global ignore patterns from: git's own answer, and the default place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.supervisor.host.git_excludes import git_excludes


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", **more}


def test_the_default_place(tmp_path: Path) -> None:
    """Of XDG_CONFIG_HOME, of HOME, or none."""
    assert git_excludes(environment(tmp_path)) == os.fsencode(tmp_path / ".config/git/ignore")
    elsewhere = environment(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "x"))
    assert git_excludes(elsewhere) == os.fsencode(tmp_path / "x/git/ignore")
    assert git_excludes({"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}) == b""


def test_what_git_is_told(tmp_path: Path) -> None:
    """Also in a file that the configuration includes; not what a repository says that the caller happens to be in."""
    (tmp_path / ".gitconfig").write_text("[include]\n  path = more\n")
    (tmp_path / "more").write_text("[core]\n  excludesFile = ~/mine\n")
    assert git_excludes(environment(tmp_path)) == os.fsencode(tmp_path / "mine")
    assert git_excludes(environment(tmp_path, GIT_DIR=str(tmp_path))) == os.fsencode(tmp_path / "mine")


@pytest.mark.parametrize("value", ["", "mine", "./mine", '"~nobody-here/mine"'])
def test_what_names_no_file_of_all_repositories(tmp_path: Path, value: str) -> None:
    """With an empty path git reads none, not that in the default place either. A relative one is another file in each repository.
    With that of an unknown user git does not work at all, and the default place counts."""
    (tmp_path / ".gitconfig").write_text(f"[core]\n  excludesFile = {value}\n")
    found = git_excludes(environment(tmp_path))
    assert found == (os.fsencode(tmp_path / ".config/git/ignore") if "~" in value else b"")


def test_without_git(tmp_path: Path) -> None:
    """It is the default place."""
    (tmp_path / ".gitconfig").write_text("[core]\n  excludesFile = ~/mine\n")
    assert git_excludes(environment(tmp_path, PATH=str(tmp_path))) == os.fsencode(tmp_path / ".config/git/ignore")
