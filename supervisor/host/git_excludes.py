"""Which file git reads its global ignore patterns from: `core.excludesFile`, or its default place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

#: Seconds after which an answer of git is not waited for any longer.
_ANSWER_S: Final = 5.0
_ASK: Final = ("git", "config", "--type=path", "--get", "core.excludesFile")


def git_excludes(environ: Mapping[str, str] | None = None) -> bytes:
    """The absolute path of git's global excludes file, which need not exist; b"" if there is none to look for.

    git itself is asked, as it would answer outside of every repository; without git it is the default place. Blocks for some
    milliseconds, and for `_ANSWER_S` seconds at most.
    """
    environ = os.environ if environ is None else environ
    said = _said_by_git(environ)
    if said is not None:
        return said if said.startswith(b"/") else b""
    home = environ.get("HOME", "")
    place = environ.get("XDG_CONFIG_HOME") or (os.path.join(home, ".config") if home else "")
    return os.fsencode(os.path.join(place, "git", "ignore")) if place.startswith("/") else b""


def _said_by_git(environ: Mapping[str, str]) -> bytes | None:
    """What `core.excludesFile` is, which may be b"": git then reads none. None: it is not set, or git cannot say it."""
    import subprocess

    own = {name: value for name, value in environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR")}
    try:
        done = subprocess.run(
            _ASK, cwd="/", env=own, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.removesuffix(b"\n") if done.returncode == 0 else None
