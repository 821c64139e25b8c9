"""The others, installed where they are missing: `python perf/peers.py`. Debian's packages for programs, a virtual
environment of their own (below .venv, so `make clean` removes it) for libraries, so that nothing of ours depends on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HOME: Final = Path(__file__).resolve().parents[1] / ".venv" / "peers"
#: Name of each peer -> what it needs: Debian packages by the program in them, and Python packages.
PEERS: Final[dict[str, tuple[dict[str, str], tuple[str, ...]]]] = {
    "watchman": ({"watchman": "watchman"}, ("pywatchman",)),
    "watchdog": ({}, ("watchdog",)),
    "watchfiles": ({}, ("watchfiles",)),
    "inotifywait": ({"inotifywait": "inotify-tools"}, ()),
}


def python_of(name: str) -> str:
    """The Python that has this peer's library."""
    return str(HOME / "bin" / "python") if PEERS[name][1] else sys.executable


def versions() -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name, (programs, libraries) in PEERS.items():
        if libraries and name != "watchman":
            command = [python_of(name), "-c", f"import importlib.metadata as m; print(m.version({name!r}))"]
        else:
            command = [next(iter(programs)), "--version"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            continue
        if name == "inotifywait":  # it knows no --version, and says which it is in its help
            done = subprocess.run([name, "--help"], capture_output=True, text=True, check=False)
        if done.stdout:
            found[name] = done.stdout.split()[-1 if name != "inotifywait" else 1]
    return found


def install() -> int:
    """Returns an exit code; says what is missing and can't be installed."""
    programs = {program: package for needed, _ in PEERS.values() for program, package in needed.items()}
    missing = sorted(package for program, package in programs.items() if not shutil.which(program))
    if missing and os.geteuid() != 0:
        print(f"missing: {' '.join(missing)} (install them, as root: apt-get install {' '.join(missing)})", file=sys.stderr)
        return 1
    if missing:
        quiet = {"DEBIAN_FRONTEND": "noninteractive", **os.environ}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
            check=True, env=quiet, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    wanted = sorted({library for _, libraries in PEERS.values() for library in libraries})
    done = HOME / "installed"
    if not done.exists() or done.read_text() != " ".join(wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
        subprocess.run([str(HOME / "bin" / "python"), "-m", "pip", "install", "-qq", *wanted], check=True)
        done.write_text(" ".join(wanted))
    print("beside us: " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    return 0


if __name__ == "__main__":
    sys.exit(install())
