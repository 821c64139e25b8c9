"""A browser without a window, for tests of the web page."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

#: Of Chromium: without its sandbox, which root can't have, and without asking hosts of its maker.
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Needs the program `chromium`."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_CHROMIUM))
        yield found
        found.close()
