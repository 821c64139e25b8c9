"""docs/install.md: its commands install what is in a clone, for one user and for a machine, and what is installed runs.

Nothing is downloaded: packages come from wheels of what is installed here. The directories of the machine are those of a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cli_process import ROOT
from documents import Shell, blocks, snippets
from waiting import eventually
from wheels import needed_by, pack

pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.usefixtures("no_leaks")]
PAGE = ROOT / "docs/install.md"


@pytest.fixture
def shell(tmp_path: Path, state_dir: Path) -> Shell:
    """In a clone, with a home directory, and a pip that finds packages in a folder only."""
    clone, wheels, home = tmp_path / "clone", tmp_path / "wheels", tmp_path / "home"
    wheels.mkdir()
    (home / ".local/bin").mkdir(parents=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name, follow_symlinks=False)
    for name in ("pip", "setuptools", *needed_by("shardwatch[top,web]")):
        pack(name, wheels)
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "1"}
    # Native code has tests of its own (test_packaging.py), and takes a while to compile.
    return Shell(clone, state_dir, HOME=str(home), CC="false", **pip)


def test_pip_installs_a_clone_for_a_user_and_for_a_machine(shell: Shell, tmp_path: Path, state_dir: Path) -> None:
    """The layout holds: the service of the machine finds its configuration, and its logs are where they are looked for."""
    (_, commands) = blocks(PAGE, "For one user")
    (as_root, plan) = blocks(PAGE, "For a machine")
    shell.run(commands)
    # A machine's environment is made by the same two commands in another place.
    shape = r"python3 -m venv (\S+)\n\1/bin/pip install '\.\[[a-z,]+\]'\n"
    user, machine = re.match(shape, commands), re.match(shape, as_root)
    assert user and machine and machine[1] == "/opt/shardwatch"
    root = tmp_path / "machine"
    for name in ("opt", "usr/local/bin", "var/lib", "var/log", "etc"):
        (root / name).mkdir(parents=True)
    (root / "opt/shardwatch").symlink_to(tmp_path / "home/.local/share/shardwatch")
    as_root = re.sub(r"^adduser --system .* shardwatch\n", "", as_root[machine.end() :], flags=re.MULTILINE)
    as_root = as_root.replace("-o shardwatch -g shardwatch ", "")  # the tests make no user of this machine

    def here(text: str) -> str:
        return re.sub(r"(?<=\s)/(?=opt|usr|var|etc)", f"{root}/", text)

    shell.run(here(as_root))
    assert (root / "var/lib/shardwatch").stat().st_mode & 0o777 == 0o700
    file = root / "etc/shardwatch.toml"
    tree = tmp_path / "tree"
    tree.mkdir()
    file.write_text(re.sub(r"^roots = .*", f'roots = ["{tree}"]', file.read_text(), flags=re.MULTILINE))
    program = root / "usr/local/bin/shardwatch"
    assert str(tree) in shell.run(here(plan).replace("shardwatch plan", f"{program} plan", 1)).stdout
    (unit,) = (snippet.text for snippet in snippets(PAGE) if snippet.text.startswith("[Unit]"))
    (start,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    short = state_dir / "s"  # the path of this machine's folder is too long for sockets
    shutil.rmtree(root / "var/lib/shardwatch")
    (root / "var/lib/shardwatch").symlink_to(short)
    command = here(f" {start}").replace(f"{root}/var/lib/shardwatch", str(short))
    with shell.begin(command) as service:
        eventually(lambda: "healthy" in shell.run(f"{program} status --state-dir {short}", check=False).stdout, every_s=0.3)
        assert (root / "var/log/shardwatch/aggregator.log").exists()
        assert service.end(signal.SIGTERM) in (0, 143)
