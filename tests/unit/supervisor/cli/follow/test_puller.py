"""What `pull` asks for, and in which order it prints: over a connection that answers as a script says."""

from __future__ import annotations

from typing import Any

import pytest

from shardwatch.supervisor.cli.follow.puller import Puller


class Connection:
    """Answers each pull and each extension with what is next; notes what is asked, and what is printed in between."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.log: list[str] = []
        #: The `from` of each pull.
        self.begins: list[str | None] = []
        self._answers = list(answers)
        self._asked: list[str] = []

    def ask(self, op: str, *, wait_s: float = 0.0, **fields: Any) -> int:
        if op == "pull":
            self.begins.append(fields.get("from"))
        carried = f" +{fields['ack'] or '?'}" if "ack" in fields else ""
        what = " ahead" if fields.get("ahead") else f" {fields['batch']}" if "batch" in fields else ""
        self.log.append(f"{op}{what}{' of ' + str(fields['max']) if fields.get('max', 1000) != 1000 else ''}{carried}")
        self._asked.append(op)
        return len(self._asked) - 1

    def answer(self, ends: Any, number: int, wait_s: float = 0.0) -> dict[str, Any]:
        assert self._asked[number] in ("pull", "extend")
        return self._answers.pop(0)

    def finish(self, timeout_s: float) -> None:
        self.log.append("finish")

    # -- and the printer

    def write(self, events: list[dict[str, Any]]) -> None:
        self.log.append("print " + " ".join(event["path"] for event in events))


def batch(number: int, *paths: str, more: bool = False) -> dict[str, Any]:
    events = [{"type": "event", "path": path} for path in paths]
    return {"ok": True, "batch": {"id": f"b{number}", "events": events, "more": more}}


OK: dict[str, Any] = {"ok": True}
NOTHING: dict[str, Any] = {"ok": True, "batch": None, "why": "empty"}
REFUSED: dict[str, Any] = {"ok": False, "error": "lease_expired", "message": "the batch is not on lease"}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is no file that could be watched."""
    monkeypatch.setattr("shardwatch.supervisor.cli.follow.puller.OwnOutput", lambda: False)


def drained(limit: int | None, *answers: dict[str, Any]) -> list[str]:
    connection: Any = Connection(*answers)
    Puller(connection, connection, connection, group="g", start=None).drain(limit, 1.0)
    assert not connection._answers
    log: list[str] = connection.log
    return log


def test_the_next_batch_is_pulled_while_one_is_printed() -> None:
    """It is begun before it is printed, and everything is acknowledged in the end."""
    assert drained(None, batch(1, "a", more=True), batch(2, "b", more=True), OK, batch(3, "c"), OK) == [
        "pull", "pull ahead", "print a", "ack b1", "extend b2", "pull ahead", "print b", "ack b2",
        "extend b3", "print c", "ack b3", "finish",
    ]  # fmt: skip


def test_what_somebody_else_has_by_then_is_not_printed() -> None:
    """What is left is pulled as usual."""
    assert drained(None, batch(1, "a", more=True), batch(2, "b", more=True), REFUSED, batch(3, "c")) == [
        "pull", "pull ahead", "print a", "ack b1", "extend b2", "pull", "print c", "ack b3", "finish",
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", [NOTHING, REFUSED])
def test_where_nothing_is_pulled_ahead_a_usual_pull_tells_whether_all_is_done(nothing: dict[str, Any]) -> None:
    """There was more when the batch was made, and a moment later there was not, or the service would not."""
    assert drained(None, batch(1, "a", more=True), nothing, NOTHING) == [
        "pull", "pull ahead", "print a", "ack b1", "pull", "finish",
    ]  # fmt: skip


def test_no_more_is_pulled_than_is_printed() -> None:
    """With a limit: of what comes next only what is left of it, and nothing once it is reached."""
    assert drained(5, batch(1, "a", "b", "c", more=True), batch(2, "d", "e", more=True), OK) == [
        "pull of 5", "pull ahead of 2", "print a b c", "ack b1", "extend b2", "print d e", "ack b2", "finish",
    ]  # fmt: skip
    assert drained(1, NOTHING) == ["pull of 1", "finish"]


def followed(*answers: dict[str, Any]) -> list[str]:
    """What is asked and printed where each answer is followed by another pull, and then it ends."""
    connection: Any = Connection()
    puller = Puller(connection, connection, connection, group="g", start=None)
    puller.ask(1000, 20.0, goes_on=True)
    for answer in answers:
        puller.go_on(answer, 1000)
    puller.release()
    log: list[str] = connection.log
    return log


def test_a_printed_batch_is_acknowledged_with_the_next_pull() -> None:
    """And by itself at the end, because that pull is not answered any more: what was handed out and not printed is given back."""
    assert followed({**NOTHING, "acked": None}, {**batch(1, "a"), "acked": None}, {**batch(2, "b"), "acked": True}) == [
        "pull +?", "pull +?", "print a", "pull +b1", "print b", "pull +b2", "ack b2", "release",
    ]  # fmt: skip
    assert followed({**batch(1, "a"), "acked": None}, {**NOTHING, "acked": True}) == [
        "pull +?", "print a", "pull +b1", "pull +?", "release",
    ]  # fmt: skip


def test_a_service_that_does_not_know_this_is_asked_as_before() -> None:
    """Also one that is replaced by an earlier version in between."""
    assert followed(batch(1, "a"), batch(2, "b")) == [
        "pull +?", "print a", "ack b1", "pull +?", "print b", "ack b2", "pull +?", "release",
    ]  # fmt: skip
    assert followed({**batch(1, "a"), "acked": None}, batch(2, "b")) == [
        "pull +?", "print a", "pull +b1", "print b", "ack b1", "ack b2", "pull +?", "release",
    ]  # fmt: skip


def test_a_group_that_is_dropped_under_a_waiting_pull_is_made_anew() -> None:
    """The next pull does, with the notice to forget everything. What was printed before has no group to acknowledge it to."""
    dropped = {"ok": False, "error": "unknown_group", "message": "the group 'g' was dropped"}
    connection: Any = Connection()
    puller = Puller(connection, connection, connection, group="g", start="now")
    puller.ask(1000, 20.0, goes_on=True)
    puller.go_on({**batch(1, "a"), "created": True, "acked": None}, 1000)
    puller.go_on(dropped, 1000)
    puller.release()
    assert connection.log == ["pull +?", "print a", "pull +b1", "pull +?", "release"]
    assert connection.begins == ["now", "fresh", "fresh"]
    puller = Puller(connection, connection, connection, group="g", start="now")
    puller.ask(1000, 20.0, goes_on=True)
    puller.go_on(dropped, 1000)
    assert connection.begins[3:] == ["now", "fresh"]
