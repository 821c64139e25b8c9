"""The configuration that `init` writes: always a valid one, and true to what was found."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from shardwatch.supervisor.config.resolve import resolve
from shardwatch.supervisor.config.starter import Found, include_for, text

FOUND = Found(
    files=1234, directories=56, more=False, suffixes=[(".py", 812), (".md", 200)], ignore_files=3, remote=[], watched=56,
    exact=True, watches_allowed=65_536, watches_used=120, remedy="",
)  # fmt: skip
FINDS = [
    FOUND,
    replace(FOUND, files=0, directories=1, suffixes=[], ignore_files=0, watched=1),
    replace(FOUND, more=True, exact=False, remedy="sudo sysctl -w fs.inotify.max_user_watches=131072"),
    replace(FOUND, suffixes=[(".ast.json", 1000), (".py", 200)], remote=["nfs4 at /srv/shared", "fuse.sshfs at /srv/a\\nb"]),
]


@pytest.mark.parametrize("found", FINDS)
def test_it_is_a_configuration(tmp_path: Path, found: Found) -> None:
    """As it is written, and with everything that is commented out. In both the root is the directory of the file."""
    written = text(found)
    assert all(len(line) <= 100 for line in written.splitlines())
    everything = re.sub(r'^# ([a-z_]+ = |\[exec|command =)', r"\1", written, flags=re.MULTILINE)
    once = re.sub(r"^include = .*\n(?=(?:.|\n)*^include = )", "", everything, flags=re.MULTILINE)
    for content in (written, once):
        file = tmp_path / "shardwatch.toml"
        file.write_text(content)
        resolved = resolve(config_file=file, environ={}, cwd=tmp_path)
        assert resolved.settings.roots == (str(tmp_path).encode(),)
        assert resolved.settings.ignore_files
    assert set(tomllib.loads(once)) > {"settle_ms", "exclude", "state_dir", "backend", "exec"}
    assert [trigger.name for trigger in resolved.triggers] == ["lint"]


def test_the_defaults_in_it_are_the_defaults(tmp_path: Path) -> None:
    """Whoever uncomments a line changes nothing until the value is another one."""
    defaults = resolve(environ={}, cwd=tmp_path, search=False).values
    for name, value in re.findall(r"^# ([a-z_]+) = (.*)$", text(replace(FOUND, remedy="sudo true")), re.MULTILINE):
        if name not in ("include", "command", "state_dir"):
            assert defaults[name] == _plain(tomllib.loads(f"x = {value}")["x"]), name


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("suffixes", "files", "include"),
    [
        ([(".ast.json", 51), (".py", 49)], 100, ("*.ast.json", "**/ast/*.json")),
        ([(".ast.json", 50), (".py", 50)], 100, ("*",)),
        ([], 0, ("*",)),
    ],
)
def test_what_is_watched(suffixes: list[tuple[str, int]], files: int, include: tuple[str, ...]) -> None:
    """ASTs alone where they are most of the tree; else everything."""
    assert include_for(suffixes, files) == include


def test_what_was_found_is_told() -> None:
    """Kinds with their numbers, ignore files, watches with the remedy where they are too few, and what is polled."""
    plain, none, few, remote = (" ".join(text(found).replace("\n#", "").split()) for found in FINDS)
    assert "1,234 files in 56 directories (812 .py, 200 .md, 222 others)" in plain
    assert 'include = ["*.py", "*.md"]' in plain and "There are 3." in plain and "65,536 are allowed to you, 120 in use" in plain
    assert "polled" not in plain and "poll_ms" not in plain
    assert "more than 1,234 files" in few and "About 56 directories" in few and FINDS[2].remedy in few and "poll_ms = 1000" in few
    assert "There is nfs4 at /srv/shared." in remote and 'include = ["*.ast.json", "**/ast/*.json"]' in remote
    assert "There is none yet." in none
