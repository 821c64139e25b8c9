"""A database for what a group of the fleet keeps."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield connection
