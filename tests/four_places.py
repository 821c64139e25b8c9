"""The four places in which an operator looks: `supervisorctl shards`, `top`, the web page and the metrics."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from browsing import chromium, new_page
from cli_process import GUARD_S, Command, environment
from playwright.sync_api import Page, expect
from session import deliver
from terminal import Terminal
from waiting import eventually


class FourPlaces:
    """Of one service, which may be away, and come back."""

    def __init__(self, state_dir: Path, address: str, page: Page, top: Terminal) -> None:
        self._conf = state_dir / "supervisord.conf"
        self._address = address
        self._page = page
        self._top = top

    def show(self, **wanted: tuple[str, str]) -> None:
        """Waits until each reason is found, and until each place shows it.

        Args:
            wanted: words of the message and of the remedy, by the reason.
        """
        eventually(lambda: wanted.keys() <= self._found().keys(), GUARD_S, what=f"{list(wanted)} is found")
        self._page_shows(wanted)
        self._metrics_show(wanted)
        self._supervisorctl_shows(wanted)
        self._top.paints(*(word for words in wanted.values() for word in words))

    def gone(self) -> None:
        """Waits until the page, `top` and the metrics show that there is no service; supervisorctl says that nobody is there."""
        wanted = {"no_service": ("there is no service in", "start it with `shardwatch up`")}
        eventually(lambda: wanted.keys() <= self._found().keys(), GUARD_S, what="no service")
        self._page_shows(wanted)
        self._metrics_show(wanted)
        done = self._supervisorctl()
        assert done.returncode != 0 and "no such file" in done.stdout
        self._top.paints("start it with `shardwatch up`")

    def over(self, *reasons: str) -> None:
        """Waits until none of them is found any more, and the metrics say so."""
        eventually(lambda: not self._found().keys() & set(reasons), GUARD_S, what=f"{reasons} are over")
        eventually(lambda: not any(self._counts()[reason] for reason in reasons), GUARD_S, what="the metrics say so")

    def _found(self) -> Mapping[str, Any]:
        """What the status says, by the reason."""
        return {finding["reason"]: finding for finding in json.loads(self._get("/api/status"))["findings"]}

    def _get(self, target: str) -> str:
        with urllib.request.urlopen(self._address + target, timeout=GUARD_S) as answer:
            body: bytes = answer.read()
        return body.decode()

    def _page_shows(self, wanted: Mapping[str, tuple[str, str]]) -> None:
        for words, remedy in wanted.values():
            item = self._page.locator("#finding-list li").filter(has_text=words).filter(has_text="Remedy: ").first
            expect(item).to_contain_text(remedy)

    def _counts(self) -> Mapping[str, int]:
        of_each = r'^shardwatch_degraded\{.*?reason="(\w+)",remedy="[^"]+"\} (\d+)'
        found = re.findall(of_each, self._get("/metrics"), re.MULTILINE)
        return {reason: int(count) for reason, count in found}

    def _supervisorctl(self) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", self._conf, "shards"]
        return subprocess.run(command, capture_output=True, text=True, timeout=GUARD_S, env=environment(), check=False)

    def _metrics_show(self, wanted: Mapping[str, tuple[str, str]]) -> None:
        eventually(lambda: all(self._counts()[reason] for reason in wanted), GUARD_S, what=f"metrics of {list(wanted)}")

    def _supervisorctl_shows(self, wanted: Mapping[str, tuple[str, str]]) -> None:
        def shown() -> bool:
            printed = self._supervisorctl().stdout
            assert all(word in printed for words in wanted.values() for word in words), printed
            return True

        eventually(shown, GUARD_S, what="supervisorctl shards shows it")


@contextlib.contextmanager
def four_places(state_dir: Path) -> Iterator[FourPlaces]:
    """`shardwatch web` with a browser at its page, and `shardwatch top` on a wide terminal. Needs the program `chromium`."""
    with Command("web", "--state-dir", state_dir, "--port", "0") as web, chromium() as browser:
        found = re.search(r"the page is at (http\S+?)/;", web.complains("Ctrl-C ends it"))
        assert found is not None
        page = new_page(browser)
        page.goto(found[1])
        top = Terminal("top", "--state-dir", state_dir, lines=60, columns=300)
        try:
            yield FourPlaces(state_dir, found[1], page, top)
        except BaseException:
            deliver(top.pid, signal.SIGKILL)
            top.reap()
            raise
        top.press("q")
        assert top.end() == 0
        assert web.end(signal.SIGTERM) == 0
