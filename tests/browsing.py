"""A browser without a window, for tests of the web page."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from cli_process import GUARD_S
from playwright.sync_api import Browser, Page, expect, sync_playwright

#: Of Chromium: without its sandbox, which root can't have, and without asking hosts of its maker.
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
#: Playwright waits for 5 to 30 s by default, which a machine on which other tests run may need for its own.
_GUARD_MS = GUARD_S * 1000


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Needs the program `chromium`."""
    expect.set_options(timeout=_GUARD_MS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(_CHROMIUM), timeout=_GUARD_MS
        )  # fmt: skip
        yield found
        found.close()


def new_page(browser: Browser, **options: Any) -> Page:
    """A page with such options of Playwright, on which whatever is waited for has the time that tests give."""
    found = browser.new_page(**options)
    found.set_default_timeout(_GUARD_MS)
    return found
