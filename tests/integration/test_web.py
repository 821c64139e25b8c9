"""`shardwatch web`, asked by programs and looked at in a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import chromium, new_page
from cli_process import GUARD_S, Command, run
from playwright.sync_api import Browser, Page, Route, expect
from session import deliver
from waiting import eventually

from shardwatch.supervisor.web.server import CONNECTIONS_MAX

pytestmark = pytest.mark.usefixtures("no_leaks")

_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of a detached service with a few files and a group."""
    place = tmp_path_factory.mktemp("web")
    for part, count in (("services", 20), ("libraries", 12), ("tools", 6)):
        for number in range(count):
            (place / f"tree/{part}/{number}/deep").mkdir(parents=True)
    for number in range(5):
        (place / f"tree/services/0/{number}.json").write_text("1")
    state_dir = place / "s"
    run("up", "--detach", "--shards", "3", "--state-dir", state_dir, place / "tree")
    run("groups", "create", "facts", "--from", "start", "--state-dir", state_dir)
    yield state_dir
    run("down", "--state-dir", state_dir, check=False)


class Answer(NamedTuple):
    status: int
    body: str

    @property
    def object(self) -> Any:
        return json.loads(self.body)


def ask(place: Path | int, target: str, **headers: str) -> Answer:
    """One request to a Unix socket, or to a port of this machine."""
    connection = http.client.HTTPConnection("localhost", 0 if isinstance(place, Path) else place, timeout=GUARD_S)
    if isinstance(place, Path):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(GUARD_S)
        connection.sock.connect(os.fspath(place))
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode())
    finally:
        connection.close()


def address_of(web: Command) -> str:
    """Where it says that it listens, once it does."""
    said = web.complains("Ctrl-C ends it")
    found = re.search(r"the page is at (?:the Unix socket )?(\S+);", said)
    assert found is not None, said
    return found[1]


def aggregator_of(service: Path) -> int:
    """Its process id."""
    processes = json.loads(run("status", "--json", "--state-dir", service).stdout)["processes"]
    return next(int(process["pid"]) for process in processes if process["name"] == "aggregator")


def test_what_it_answers(service: Path) -> None:
    """On a socket that only its owner may use: the status, the metrics, health, files; and what is asked wrongly."""
    place = service / "run/web.sock"
    with Command("web", "--state-dir", service) as web:
        assert address_of(web) == str(place)
        assert place.stat().st_mode & 0o777 == 0o600
        status = eventually(lambda: found if (found := ask(place, "/api/status")).object["health"] == "healthy" else None).object
        assert status["engine"]["files"] == 5
        assert status["limits"]["watches"] > 0
        assert 'shardwatch_group_backlog_paths{group="facts"} 5.0' in ask(place, "/metrics").body
        assert ask(place, "/healthz") == Answer(200, "healthy\n")
        assert ask(place, "/readyz").status == 200
        found = ask(place, "/api/find?glob=3.json&within=3600").object
        assert [(Path(file["path"]).name, file["size"]) for file in found["files"]] == [("3.json", 1)]
        assert ask(place, "/api/find?glob=none.json").object == {"files": [], "more": False}
        for wrong in ("within=0", "within=-1", "within=nan", "within=x", "within=1e99", "glob=[", f"glob={'a' * 2000}"):
            refused = ask(place, f"/api/find?{wrong}")
            assert refused.status == 400
            assert refused.object["error"]
        assert ask(place, "/../../etc/passwd").status == 404
        again = run("web", "--state-dir", service, check=False)
        assert again.returncode == 4
        assert "serves on" in again.stderr
        assert web.end(signal.SIGTERM) == 0
    assert not place.exists()


def test_a_server_that_was_killed_leaves_nothing_in_the_way(service: Path) -> None:
    """Its socket is replaced. What is no socket is not."""
    place = service / "run/web.sock"
    with Command("web", "--state-dir", service) as web:
        address_of(web)
        web.end(signal.SIGKILL)
    assert place.is_socket()
    with Command("web", "--state-dir", service) as web:
        address_of(web)
        assert ask(place, "/readyz").status == 200
        assert web.end(signal.SIGHUP) == 0
    place.write_text("mine")
    refused = run("web", "--state-dir", service, check=False)
    assert refused.returncode == 2
    assert "is no socket" in refused.stderr
    assert place.read_text() == "mine"
    place.unlink()


def test_what_it_can_not_serve_on(service: Path, tmp_path: Path) -> None:
    """One line with the remedy, exit code 2; a port that is taken is 4."""
    short = tmp_path / "short"
    short.write_text("short\n")
    for arguments, word in (
        (["--port", "65536"], "out of range"),
        (["--host", "127.0.0.1"], "--host needs --port"),
        (["--port", "0", "--host", ""], "--host is empty"),
        (["--port", "0", "--host", "192.0.2.1"], "(give an address of this machine)"),
        (["--port", "0", "--host", "no.such.host.invalid"], "no address"),
        (["--port", "0", "--token-file", tmp_path / "none"], "no token can be read"),
        (["--port", "0", "--token-file", short], "contains no token"),
        (["--socket", tmp_path / ("s" * 120)], "too long"),
        (["--socket", tmp_path / "none/s"], "can't make the socket"),
    ):
        refused = run("web", "--state-dir", service, *arguments, check=False)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert word in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("web", "--state-dir", service, "--port", str(taken.getsockname()[1]), check=False)
    assert refused.returncode == 4


def test_of_too_many_connections_further_ones_are_refused(service: Path) -> None:
    """As long as they are there, even if they ask nothing."""
    with Command("web", "--state-dir", service) as web:
        place = Path(address_of(web))
        with contextlib.ExitStack() as silent:
            for _ in range(CONNECTIONS_MAX):
                silent.enter_context(socket.socket(socket.AF_UNIX)).connect(os.fspath(place))
            assert ask(place, "/readyz").status == 503
        eventually(lambda: ask(place, "/readyz").status == 200)
        assert web.end(signal.SIGTERM) == 0


def test_beyond_this_machine_a_token_is_needed(service: Path) -> None:
    """It is printed with the address, and asked for at every address."""
    with Command("web", "--state-dir", service, "--port", "0", "--host", "127.0.0.1") as web:
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=(\S{32})", address_of(web))
        assert found is not None
        port = int(found[1])
        for target in ("/", "/api/status", "/metrics", "/healthz"):
            assert ask(port, target).status == 401
        assert ask(port, "/healthz", authorization=f"Bearer {found[2]}").status == 200
        assert web.end(signal.SIGINT) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(service: Path, browser: Browser) -> Iterator[Page]:
    """The page of the service. Whatever goes wrong in it fails the test, but for a request that is refused."""
    with Command("web", "--state-dir", service, "--port", "0") as web:
        found = new_page(browser, color_scheme="light", viewport={"width": 1200, "height": 900})
        wrong: list[str] = []
        found.on("console", lambda message: None if "400 (Bad Request)" in message.text else wrong.append(message.text))
        found.on("pageerror", lambda error: wrong.append(str(error)))
        found.on("requestfailed", lambda request: wrong.append(request.url))
        found.goto(address_of(web))
        expect(found.locator("#health")).to_have_text("healthy")
        yield found
        assert wrong == []
        found.close()
        web.end(signal.SIGTERM)


@pytest.mark.needs("chromium")
def test_the_page(service: Path, page: Page) -> None:
    """It shows shards, groups, programs and files, works by the keyboard, in light and dark and on a narrow screen; axe-core
    finds no fault. The picture of the documents is made here (SW_PICTURES names the directory).
    """
    expect(page.locator("#treemap [role=listitem]")).to_have_count(3)
    expect(page.locator("#treemap")).to_contain_text("watching")
    expect(page.locator("#shard-table tbody tr")).to_have_count(3)
    expect(page.locator("#shard-table")).to_contain_text("services")
    expect(page.locator("#group-table tbody tr")).to_contain_text("facts")
    expect(page.locator("#program-table tbody tr")).to_have_count(5)
    page.keyboard.press("/")
    page.keyboard.type("*.json")
    page.keyboard.press("Enter")
    expect(page.locator("#search-said")).to_have_text("5 files")
    header = page.locator("#search-table th button").first
    header.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#search-table th").first).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("#search-table tbody tr").first).to_contain_text("0.json")
    if directory := os.environ.get("SW_PICTURES"):
        files = [service.parent / f"tree/services/0/{number}.json" for number in range(5)]
        for text in "abc":  # so that there is something to see
            before = page.locator("#chart-hints p").text_content()
            for file in files:
                file.write_text(text)
            expect(page.locator("#chart-hints p")).not_to_have_text(before or "")
        page.evaluate("scrollTo(0, 0)")
        (Path(directory) / "web.png").write_bytes(page.screenshot())
    for width in (1200, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in _SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()


@pytest.mark.needs("chromium")
def test_the_page_of_a_service_in_trouble(service: Path, page: Page) -> None:
    """What is wrong and its remedy are shown, and that it is over. Names are text, whatever they consist of."""
    (service.parent / "tree/<img src=x onerror=alert(1)>.json").touch()
    page.fill("#glob", "*onerror*")
    run("sync", "--state-dir", service)
    page.press("#glob", "Enter")
    expect(page.locator("#search-table tbody tr")).to_contain_text("<img src=x onerror=alert(1)>.json")
    page.fill("#glob", "[")
    page.press("#glob", "Enter")
    expect(page.locator("#search-said")).to_contain_text("[")
    aggregator = aggregator_of(service)
    deliver(aggregator, signal.SIGSTOP)
    expect(page.locator("#health")).to_have_text("down", timeout=GUARD_S * 1000)
    expect(page.locator("#finding-list [data-level=error]").first).to_contain_text("Remedy: ")
    with contextlib.suppress(ProcessLookupError):  # it was killed for its silence, and replaced
        deliver(aggregator, signal.SIGCONT)
    expect(page.locator("#health")).to_have_text("healthy", timeout=GUARD_S * 1000)


@pytest.mark.needs("chromium")
def test_the_page_sorts_by_values_and_says_what_is_not_known(service: Path, page: Page) -> None:
    """By times, and not by how they read; and groups are not none while the databases can't be used."""
    told = page.request.get(f"{page.url}api/status").json()
    ages = {"seconds": 90.0, "minutes": 300.0, "days": 400_000.0, "nothing": None}
    groups = [{**told["groups"][0], "name": name, "oldest_pending_s": age} for name, age in ages.items()]
    page.route("**/api/status", lambda route: route.fulfill(json={**told, "groups": groups}))
    names = page.locator("#group-table tbody tr td:first-child")
    expect(names).to_have_count(len(ages))
    header = page.get_by_role("button", name="Oldest pending")
    for order in (["seconds", "minutes", "days", "nothing"], ["days", "minutes", "seconds", "nothing"]):
        header.click()
        expect(names).to_have_text(order)
    outage = {"ready": False, "roots": ["/r"], "storage": {"message": "full", "remedy": "mend it"}, "shards": [], "degraded": []}
    page.route("**/api/status", lambda route: route.fulfill(json={**told, "groups": [], "engine": outage}))
    for table in ("#group-table", "#shard-table"):
        expect(page.locator(table)).to_have_text("not known now")


@pytest.mark.needs("chromium")
def test_the_page_says_that_it_gets_no_answer(service: Path, browser: Browser) -> None:
    """Also where the connection stays and nobody answers, as behind a tunnel that hangs; and where the answer is no status."""
    with Command("web", "--state-dir", service, "--port", "0") as web:
        page = new_page(browser)
        page.clock.install()
        page.goto(address_of(web))
        expect(page.locator("#health")).to_have_text("healthy")
        unanswered: list[Route] = []

        def leave(route: Route) -> None:
            unanswered.append(route)

        page.route("**/api/status", leave)
        page.clock.run_for(3_000)
        eventually(lambda: unanswered)
        page.clock.run_for(20_000)
        expect(page.locator("#stale")).to_contain_text("none within 15 s. What is shown is of before.")
        expect(page.locator("#health")).to_have_text("no answer")
        page.unroute("**/api/status")
        page.route("**/api/status", lambda route: route.fulfill(status=503, body="Service Unavailable"))
        page.clock.run_for(3_000)
        expect(page.locator("#stale")).to_contain_text("503 Service Unavailable")
        page.unroute("**/api/status")
        page.clock.run_for(3_000)
        expect(page.locator("#health")).to_have_text("healthy")
        expect(page.locator("#stale")).to_be_hidden()
        page.close()
        web.end(signal.SIGTERM)
