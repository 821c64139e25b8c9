"""What several integration tests need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def node_zeromq() -> Path:
    """npm's zeromq, installed once into an ignored folder."""
    home = ROOT / "tests" / "node_modules" / ".zeromq-6"
    modules = home / "node_modules"
    if not (modules / "zeromq" / "package.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-save", "--prefix", str(home), "zeromq@6"],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    return modules
