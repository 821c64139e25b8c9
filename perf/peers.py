"""The others, installed where they are missing: `python perf/peers.py [NAMES]`. Debian's packages for programs, a virtual
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


def asked_for(peers: str) -> set[str]:
    """PEERS: "" or "0" for none, "1" for all, or their names with commas between them. Raises ValueError for any other."""
    wanted = set(PEERS) if peers == "1" else set() if peers == "0" else {name for name in peers.split(",") if name}
    if unknown := wanted - set(PEERS):
        raise ValueError(f"PEERS: {', '.join(sorted(unknown))}: none of {', '.join(PEERS)}")
    return wanted


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


def install(peers: str) -> int:
    """Returns an exit code; says what is missing and can't be installed. `peers`: as of `asked_for`."""
    needs = [PEERS[name] for name in PEERS if name in asked_for(peers)]
    programs = {program: package for needed, _ in needs for program, package in needed.items()}
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
    wanted = {library for _, libraries in needs for library in libraries}
    done = HOME / "installed"
    there = set(done.read_text().split()) if done.exists() else set()
    if not wanted <= there:
        if not there:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
        subprocess.run([str(HOME / "bin" / "python"), "-m", "pip", "install", "-qq", *sorted(wanted - there)], check=True)
        done.write_text(" ".join(sorted(wanted | there)))
    print("beside us: " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    return 0


if __name__ == "__main__":
    sys.exit(install(sys.argv[1] if len(sys.argv) > 1 else "1"))
