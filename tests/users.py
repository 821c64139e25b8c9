"""Two other users than the test's own, known by number only: nothing is written to /etc/passwd. Needs root.

The interpreter, or this checkout, may lie where only root can look, such as in root's home. Then what another user runs has a
table of mounts of its own, in which nothing but these is to be seen there; outside of it nothing changes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import session
from cli_process import GUARD_S, ROOT, UNMEASURED, environment
from disks import LET_GO

#: Who attacks, and who is attacked (or root is).
MALLORY, BOB = 61001, 61002


@contextlib.contextmanager
def common_place() -> Iterator[Path]:
    """A directory of root's that everyone can enter, for the homes of users. pytest's own tmp_path is closed to them."""
    path = session.place()
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def commons() -> Iterator[Path]:
    """Such a place for one test."""
    with common_place() as path:
        yield path


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
    command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", *map(str, arguments)]
    return command if uid == 0 else [*_become(uid), *command]


def _become(uid: int) -> list[str]:
    who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    opening = _opening()
    return ["unshare", "--mount", "--propagation=private", "sh", "-ec", f'{opening}exec "$@"', "sh", *who] if opening else who


def _opening() -> str:
    """Commands that show the interpreter and this checkout, and nothing else, where a directory above is closed to others."""
    needed = [Path(sys.base_prefix).resolve(), Path(sys.prefix), ROOT]
    closed: dict[Path, list[Path]] = {}
    for path in needed:
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                closed.setdefault(above, []).append(path)
                break
    lines = [LET_GO, "mount -t tmpfs tmpfs /mnt"]
    for number, (above, paths) in enumerate(closed.items()):
        names = [(shlex.quote(str(path)), f"/mnt/{number}-{n}") for n, path in enumerate(paths)]
        lines += [f"mkdir {kept}; mount --rbind {path} {kept}" for path, kept in names]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(above))}"]
        lines += [f"mkdir -p {path}; mount --rbind {kept} {path}" for path, kept in names]
    return "".join(f"{line}; " for line in lines) if closed else ""


def run_as(uid: int, *arguments: str | Path, cwd: Path, umask: int = -1, **environ: str) -> subprocess.CompletedProcess[str]:
    """One command of ours, run by a user to its end. HOME is the working directory, unless it is given."""
    done = subprocess.run(
        command_of(uid, *arguments), cwd=cwd, umask=umask, env=environment_of(**{"HOME": str(cwd), **environ}),
        capture_output=True, text=True, timeout=GUARD_S * 2, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def python_as(uid: int, code: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Some lines of Python, run by a user; `os`, `sys` and `socket` are imported."""
    return subprocess.run(
        [*_become(uid), sys.executable, "-P", "-c", f"import os, socket, sys\n{code}", *map(str, arguments)],
        cwd=cwd, env=environment_of(HOME=str(cwd)), capture_output=True, text=True, timeout=GUARD_S, check=False,
    )  # fmt: skip


def environment_of(**environ: str) -> dict[str, str]:
    """The environment of what users run, root too: nobody else can write where the coverage of this run is collected."""
    left_out = {"XDG_STATE_HOME", *UNMEASURED}
    return {**{name: value for name, value in environment().items() if name not in left_out}, **environ}
