"""`shardwatch since` and `ExtractClient.since`: what has changed since a cursor, on a running service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import run as cli
from running import Running, running, settings_for

from shardwatch import AsyncExtractClient, RequestError

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Running]:
    """A ready service in two shards."""
    with running(state_dir, settings_for(tree, shards=2)) as service:
        service.client.ready(60)
        yield service


def _since(service: Running, *arguments: str) -> list[dict[str, Any]]:
    done = cli("since", *arguments, "--json", "--state-dir", service.layout.state_dir)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_since_prints_each_change_once_and_a_cursor(service: Running, tree: Path) -> None:
    """As JSON, as text, and in Python; also what changed before and after the aggregator was killed."""
    (first,) = _since(service)
    assert first.keys() == {"type", "cursor"} and first["cursor"].startswith("c:")
    odd = os.fsdecode(os.fsencode(tree) + b"/pkg/odd\xff.json")
    Path(odd).write_text("{}")
    (tree / "main.ast.json").unlink()
    service.client.sync()
    service.kill("aggregator")
    (tree / "pkg/a.ast.json").write_text("other")
    service.client.sync(60, patience_s=60)
    *events, end = _since(service, first["cursor"])
    assert {(e["event_type"], e["path"]) for e in events} == {
        ("modified", os.fsencode(odd).decode(errors="replace")),
        ("modified", str(tree / "pkg/a.ast.json")),
        ("deleted", str(tree / "main.ast.json")),
    }
    assert {e["type"] for e in events} == {"event"} and end["type"] == "cursor"

    text = cli("since", first["cursor"], "--state-dir", service.layout.state_dir).stdout.splitlines()
    assert len(text) == 4 and f"deleted   {tree}/main.ast.json" in text
    assert text[-1].startswith("c:")

    changes = service.client.since(first["cursor"], max=2)
    rest = service.client.since(changes.cursor)
    assert (len(changes.events), changes.more, len(rest.events), rest.more, rest.fresh) == (2, True, 1, False, "")
    assert odd in {event.path for event in [*changes.events, *rest.events]}
    assert service.client.since(rest.cursor).events == []


def test_a_cursor_that_is_not_ours_is_fresh_and_what_is_none_is_refused(service: Running) -> None:
    """Fresh is an answer, with a cursor to go on from; anything else that is wrong is exit code 2."""
    fresh, end = _since(service, "c:0123456789abcdef-0-0:7")
    assert (fresh["type"], end["type"]) == ("fresh", "cursor") and fresh["reason"]
    assert [line["type"] for line in _since(service, end["cursor"])] == ["cursor"]
    text = cli("since", "c:0-0:7", "--state-dir", service.layout.state_dir).stdout.splitlines()
    assert text[0].startswith("fresh     what has changed is not known: the cursor belongs to another index")
    done = cli("since", "yesterday", "--state-dir", service.layout.state_dir, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no cursor" in done.stderr
    with pytest.raises(RequestError, match="is no cursor"):
        service.client.since("yesterday")


async def test_the_async_client_asks_the_same(service: Running, tree: Path) -> None:
    """The same types, awaited."""
    async with AsyncExtractClient(service.layout.state_dir, timeout_s=30) as client:
        cursor = (await client.since()).cursor
        (tree / "new.json").write_text("{}")
        await client.sync()
        changes = await client.since(cursor)
        assert [(event.event_type, event.path) for event in changes.events] == [("modified", str(tree / "new.json"))]
