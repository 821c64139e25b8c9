"""A commit of ours as it was, beside today's: `make perf OLD=05f736e` installs it for the length of a run.

It is taken out of the repository and gets a virtual environment of its own, with the packages of that commit's constraints.txt,
just as `make install` makes .venv. All of it lies in the run's folder on the disk, and goes with it.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import machine
import session

#: As the caller named it; "" for none.
COMMIT: Final = os.environ.get("OLD", "")


class NoCommitError(Exception):
    """There is no such commit here, or it can't be installed; the message says why."""


@dataclass(frozen=True)
class Installation:
    #: Abbreviated to twelve digits.
    commit: str
    #: The directory of `python` and `shardwatch`.
    programs: Path


def resolve(commit: str) -> str:
    """The commit's name in twelve digits. Raises NoCommitError."""
    done = machine.git("rev-parse", "--quiet", "--verify", "--short=12", "--end-of-options", f"{commit}^{{commit}}")
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip() or "there is no such commit here; a shallow clone has only the latest"
        raise NoCommitError(f"OLD={commit}: {why}")
    return done.stdout.decode().strip()


@functools.cache
def installed() -> Installation:
    """Installs COMMIT at the first call; takes about ten seconds, and some 100 MB of the disk. Raises NoCommitError."""
    commit = resolve(COMMIT)
    home = session.place("older-", where=session.disk())
    tree, environment = home / "tree", home / "venv"
    tree.mkdir()
    _run(commit, ["tar", "-x", "-C", str(tree)], tree, machine.git("archive", commit).stdout)
    if not (tree / "constraints.txt").exists():
        raise NoCommitError(f"OLD={COMMIT}: {commit} can't be installed: it has no constraints.txt")
    _run(commit, [sys.executable, "-m", "venv", str(environment)], tree)
    python = str(environment / "bin" / "python")
    install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-c", "constraints.txt"]
    _run(commit, [*install, "setuptools"], tree)
    _run(commit, [*install, "--no-build-isolation", "-e", "."], tree)
    parts = [part for part in ("aggregator", "bridge", "shard", "supervisor") if (tree / part).is_dir()]
    _run(commit, [python, "-m", "compileall", "-q", *parts], tree)
    return Installation(commit, environment / "bin")


def _run(commit: str, command: list[str], where: Path, given: bytes = b"") -> None:
    done = subprocess.run(command, cwd=where, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise NoCommitError(f"OLD={COMMIT}: {commit} can't be installed: `{' '.join(command)}` failed:\n{said}")
