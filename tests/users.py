"""Two other users than the test's own, known by number only: nothing is written to /etc/passwd. Needs root.

The interpreter may lie where only root can read (/root/.pyenv). So a command that another user runs keeps one right of root's,
CAP_DAC_READ_SEARCH: to read. It can write, own and signal no more than that user. Where reading is what a test is about,
`python_as` gives up all rights before the test's lines run, and these may import nothing more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import session
from cli_process import GUARD_S, environment

#: Who attacks, and who is attacked (or root is).
MALLORY, BOB = 61001, 61002
_RIGHT = "-all,+dac_read_search"


@pytest.fixture
def commons() -> Iterator[Path]:
    """A directory of root's that everyone can enter, for the homes of users. pytest's own tmp_path is closed to them."""
    if os.geteuid() != 0:
        pytest.skip("acts as two other users, which only root can")
    path = session.place()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def home(commons: Path, uid: int, mode: int = 0o755) -> Path:
    """A new directory that belongs to a user."""
    return give(uid, commons / f"u{uid}", mode=mode)


def give(uid: int, path: Path, text: str | None = None, mode: int | None = None) -> Path:
    """A file with that text, or a directory where there is none, that belongs to a user (and what had to be made for it)."""
    if not path.parent.exists():
        give(uid, path.parent)
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    path.chmod(mode if mode is not None else 0o755 if text is None else 0o644)
    os.chown(path, uid, uid)
    return path


def command_of(uid: int, *arguments: str | Path) -> list[str]:
    """The command line with which a user (0: root) runs one of our commands."""
    command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli", *map(os.fspath, arguments)]
    return command if uid == 0 else [*_become(uid), *command]


def _become(uid: int) -> list[str]:
    who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return ["setpriv", *who, f"--inh-caps={_RIGHT}", f"--bounding-set={_RIGHT}", f"--ambient-caps={_RIGHT}", "--"]


def run_as(
    uid: int, *arguments: str | Path, cwd: Path, umask: int = -1, **environ: str
) -> subprocess.CompletedProcess[str]:
    """One command of ours, run by a user to its end. HOME is the working directory, unless it is given."""
    done = subprocess.run(
        command_of(uid, *arguments), cwd=cwd, umask=umask, env=_environment(cwd, environ),
        capture_output=True, text=True, timeout=GUARD_S * 2, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def python_as(uid: int, code: str, *arguments: str | Path, cwd: Path, modules: Sequence[str] = ()) -> Any:
    """Some lines of Python, run by a user without any right of root's, after the modules are imported."""
    imported = ", ".join(("os", "sys", "socket", "grp", "pwd", *modules))
    first = f"import {imported}\nos.setgroups([])\nos.setgid({uid})\nos.setuid({uid})\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", first + code, *map(os.fspath, arguments)],
        cwd=cwd, env=_environment(cwd, {}), capture_output=True, text=True, timeout=GUARD_S, check=False,
    )  # fmt: skip


def _environment(cwd: Path, environ: dict[str, str]) -> dict[str, str]:
    settled = {name: value for name, value in environment().items() if name != "XDG_STATE_HOME"}
    return {**settled, "HOME": str(cwd), **environ}
