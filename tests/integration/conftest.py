"""What several integration tests need."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import session
from cli_process import run

if TYPE_CHECKING:
    from jetstream import NatsServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def node_zeromq() -> Path:
    """npm's zeromq, installed once into an ignored folder. Tests that ask for it have the mark `needs("node", "npm")`."""
    home = ROOT / "tests" / "node_modules" / ".zeromq-6"
    modules = home / "node_modules"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:  # each process of a run that needs it comes here, perhaps at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "installed").exists():
            configuration = Path(os.environ.get(session.CALLERS_HOME, "/"), ".npmrc")
            own = {"npm_config_cache": str(session.folder() / "npm"), "npm_config_userconfig": str(configuration)}
            options = ["--no-audit", "--no-fund", "--no-package-lock", "--no-save"]
            done = subprocess.run(
                ["npm", "install", *options, "--prefix", str(home), "zeromq@6"],
                check=False, capture_output=True, timeout=300, text=True, env={**os.environ, **own},
            )  # fmt: skip
            if done.returncode != 0:
                pytest.skip(f"npm could not install zeromq@6: {done.stderr.strip()[-200:]}")
            (home / "installed").touch()
    return modules


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Path]:
    """The state directory of a detached service that watches `tree`."""
    run("up", "--detach", "--state-dir", state_dir, tree)
    yield state_dir
    run("down", "--state-dir", state_dir, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server of the test's own."""
    from jetstream import NatsServer  # few tests need it

    it = NatsServer(tmp_path / "nats")
    try:
        yield it
    finally:
        it.kill()
