"""git as tests call it: in a repository of their own, and in none above it, whatever the caller's environment says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SETTINGS = ("gc.auto=0", "maintenance.auto=false", "user.name=t", "user.email=t@example.invalid", "init.defaultBranch=main")


def git(
    where: Path, *arguments: str, timeout_s: float = 60.0, given: bytes | None = None, codes: tuple[int, ...] = (0,)
) -> bytes:
    """Runs git in `where`, whose repository must lie there, not above; returns what it prints. `given`: what it reads; `codes`:
    exit codes that are no failure. Raises CalledProcessError or TimeoutExpired.

    Another program may just have put a directory without a repository in its place. git would look above it then, and
    `git stash` would take away what somebody has not committed yet.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}
    ceiling = {"GIT_CEILING_DIRECTORIES": os.path.realpath(where.parent)}
    options = [word for setting in _SETTINGS for word in ("-c", setting)]
    done = subprocess.run(
        ["git", *options, *arguments], cwd=where, input=given, capture_output=True, env=kept | own | ceiling, timeout=timeout_s,
        check=False,
    )  # fmt: skip
    if done.returncode not in codes:
        done.check_returncode()
        raise AssertionError(f"git exited with {done.returncode}")
    return done.stdout


def make_repository(top: Path) -> None:
    """What `git init` makes in a directory, as far as git asks for it, in a small part of the time."""
    for name in ("objects", "refs", "info"):
        (top / ".git" / name).mkdir(parents=True)
    (top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
