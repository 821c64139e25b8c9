"""What the tests of the kernel's backends share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def options() -> dict[str, Any]:
    """Of the backend of `watched`; a test may set some."""
    return {}
