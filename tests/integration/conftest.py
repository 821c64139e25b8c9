"""What several integration tests need."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import session

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def node_zeromq() -> Path:
    """npm's zeromq, installed once into an ignored folder. Tests that ask for it have the mark `needs("node", "npm")`."""
    home = ROOT / "tests" / "node_modules" / ".zeromq-6"
    modules = home / "node_modules"
    if not (modules / "zeromq" / "package.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        configuration = Path(os.environ.get(session.CALLERS_HOME, "/"), ".npmrc")
        own = {"npm_config_cache": str(session.folder() / "npm"), "npm_config_userconfig": str(configuration)}
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-save", "--prefix", str(home), "zeromq@6"],
            check=False, capture_output=True, timeout=300, text=True, env={**os.environ, **own},
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"npm could not install zeromq@6: {done.stderr.strip()[-200:]}")
    return modules
