"""`shardwatch groups`: a group is created, shown, moved back and dropped on a running service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command
from cli_process import run as cli
from running import Running, running, settings_for
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Running]:
    """A ready service."""
    with running(state_dir, settings_for(tree)) as service:
        service.client.ready(60)
        yield service


def _groups(service: Running, *arguments: str, check: bool = True) -> Any:
    return cli("groups", *arguments, "--state-dir", service.layout.state_dir, check=check)


def _info(service: Running, name: str) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(_groups(service, "info", name, "--json").stdout)
    return info


def _taken(service: Running, group: str) -> list[tuple[str, str]]:
    """What is pending for a group, and acknowledged."""
    events = []
    for batch in service.client.batches(group, follow=False):
        events += [(event.event_type, Path(event.path).name) for event in batch.events]
        batch.ack()
    return sorted(events)


def test_a_group_is_created_shown_moved_back_and_dropped(service: Running, tree: Path) -> None:
    """A rewind hands out again exactly what has changed after the tick; everything of it in Python too."""
    _groups(service, "create", "later")
    _groups(service, "create", "all", "--from", "start")
    assert service.client.create("later") is False
    assert "exists already" in _groups(service, "create", "later").stderr
    (tree / "one.json").write_text("{}")
    service.client.sync()
    assert _taken(service, "later") == [("created", "one.json")]
    assert len(_taken(service, "all")) == 7
    tick = _info(service, "later")["cursor"]
    (tree / "two.json").write_text("{}")
    (tree / "one.json").unlink()
    service.client.sync()
    changed = [("created", "two.json"), ("deleted", "one.json")]
    assert _taken(service, "later") == changed

    info = _info(service, "later")
    assert (info["format"], info["name"], info["state"], info["backlog"]) == (1, "later", "active", 0)
    assert _groups(service, "info", "later").stdout.startswith(f"group later: active\nacknowledged up to tick {info['cursor']}\n")
    ahead = _groups(service, "rewind", "later", str(info["cursor"] + 1), check=False)
    assert (ahead.returncode, "has not come to tick" in ahead.stderr) == (2, True)
    _groups(service, "rewind", "later", str(tick))
    assert {name for _, name in _taken(service, "later")} == {"one.json", "two.json"}
    _groups(service, "rewind", "later", "start")
    assert len(_taken(service, "later")) >= 7

    _groups(service, "drop", "later")
    for verb in (["info", "later"], ["rewind", "later", "start"], ["drop", "later"]):
        done = _groups(service, *verb, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no group 'later'" in done.stderr


def test_a_group_is_moved_back_to_a_time(service: Running, tree: Path) -> None:
    """To what was noted last before it. A time before the first note, and what is no time, are refused with the remedy."""
    _groups(service, "create", "later")
    (tree / "one.json").write_text("{}")
    service.client.sync()
    assert _taken(service, "later") == [("created", "one.json")]
    cursor = _info(service, "later")["cursor"]
    now = datetime.now().astimezone().isoformat()
    assert _groups(service, "rewind", "later", now).stderr == ""
    assert _info(service, "later")["cursor"] <= cursor
    _taken(service, "later")
    assert service.client.seek("later", at=time.time()) is True
    for text in ("2h", "2020-01-01"):
        done = _groups(service, "rewind", "later", text, check=False)
        assert (done.returncode, "the first time that is noted is " in done.stderr) == (2, True), done.stderr
    done = _groups(service, "rewind", "later", "yesterday", check=False)
    assert (done.returncode, "TIME 'yesterday' is no time" in done.stderr) == (2, True), done.stderr
    assert _groups(service, "rewind", "none", "2h", check=False).returncode == 2


def test_a_wait_for_a_group_ends_with_its_last_ack(service: Running, tree: Path) -> None:
    """Also for changes of the last moment; exit code 5 when its time is over, 6 when paths were set aside, 2 for no group."""
    _groups(service, "create", "facts")
    (tree / "one.json").write_text("{}")
    late = _groups(service, "wait", "facts", "--timeout", "2", check=False)
    assert (late.returncode, "not acknowledged after 2 s" in late.stderr) == (5, True), late.stderr
    batch = service.client.pull("facts", wait_s=30, lease_s=3600)
    assert batch is not None
    with Command("groups", "wait", "facts", "--state-dir", service.layout.state_dir) as waiting:
        eventually(lambda: service.client.status()["waiting_requests"] == 1)
        assert waiting.process.poll() is None
        batch.ack()
        assert waiting.process.wait(60) == 0
    assert service.client.wait("facts")["tick"] >= batch.events[0].tick

    (tree / "two.json").write_text("{}")
    service.client.sync()
    for failed in service.client.batches("facts", wait_s=30):
        failed.nack("no", retry_s=0)
        if service.client.groups()[0]["parked_paths"]:
            break
    aside = _groups(service, "wait", "facts", check=False)
    assert (aside.returncode, "the group has set 1 path aside" in aside.stderr) == (6, True), aside.stderr
    assert _groups(service, "wait", "none", check=False).returncode == 2
    assert _groups(service, "wait", "facts", "--timeout", "0", check=False).returncode == 2
