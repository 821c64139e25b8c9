"""What clients decide, without a socket: flows are driven by a script and a clock of the test's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
import pytest

from shardwatch.aggregator.client import batch as batch_of_client
from shardwatch.aggregator.client import early as early_of_client
from shardwatch.aggregator.client import requests
from shardwatch.aggregator.client.absence import LOG_S, Absence
from shardwatch.aggregator.client.batch import Lease, Pulled, PullReply, decode_pull
from shardwatch.aggregator.client.conversation import Alone, Ask, Conversation, Flow, HangUp, Pause, Receive, Send, Step
from shardwatch.aggregator.client.early import Early
from shardwatch.aggregator.client.following import Following
from shardwatch.aggregator.client.owed import Acknowledged, OwedAck
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.aggregator.client.requests import Request
from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ServiceTimeoutError, ShardwatchError, UsageError

T = TypeVar("T")

AWAY = NotRunningError("no service answers", retryable=True)
CLOSED = NotRunningError("the client is closed")


class Wire:
    """A service as a script says it is. Drives flows, notes every step, and moves its clock as the steps take time.

    Args:
        sent: what comes of a frame that is sent: replies, or an error; asked anew for each frame.
    """

    def __init__(self, sent: Callable[[dict[str, Any]], list[dict[str, Any]] | ShardwatchError]) -> None:
        self.now = 100.0
        self.steps: list[Step] = []
        self.frames: list[dict[str, Any]] = []
        self.log: list[str] = []
        self._sent = sent
        self._inbox: list[bytes] = []
        absence = Absence("there", self.log.append, clock=lambda: self.now)
        self.conversation = Conversation("there", 10.0, absence, clock=lambda: self.now)

    def pauses(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Pause)]

    def run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        try:
            step = next(flow)
            while True:
                self.steps.append(step)
                try:
                    outcome = self._carry_out(step)
                except ShardwatchError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _carry_out(self, step: Step) -> bytes | None:
        match step:
            case Send(frame):
                request = msgspec.msgpack.decode(frame)
                self.frames.append(request)
                found = self._sent(request)
                if isinstance(found, ShardwatchError):
                    raise found
                self._inbox += [msgspec.msgpack.encode({"id": request["id"], **reply}) for reply in found]
            case Receive(until):
                if self._inbox:
                    return self._inbox.pop(0)
                self.now = max(self.now, until)
            case Pause(seconds):
                self.now += seconds
            case Alone(flow):
                return self.run(flow)  # type: ignore[no-any-return]
            case Ask(request, patience_s):
                return self.run(self.conversation.ask(request, patience_s))
            case HangUp():
                self._inbox = []
        return None


def scripted(*outcomes: list[dict[str, Any]] | ShardwatchError) -> Wire:
    """One outcome for each frame that is sent, in this order; the last one for all that follow."""
    left = list(outcomes)
    return Wire(lambda request: left.pop(0) if len(left) > 1 else left[0])


def ok(**fields: Any) -> list[dict[str, Any]]:
    return [{"ok": True, **fields}]


def refused(code: str) -> list[dict[str, Any]]:
    return [{"ok": False, "error": code, "message": f"it is {code}", "remedy": "none"}]


def batch(number: int, *, more: bool = False, **fields: Any) -> list[dict[str, Any]]:
    made = {"id": f"t-{number}", "group": "g", "attempt": 1, "lease_ms": 1000, "events": [], "more": more}
    return ok(batch=made, **fields)


def test_an_answer_to_something_else_is_not_taken() -> None:
    """Late replies of requests that were given up, and what is no reply at all."""
    wire = scripted([{"ok": True, "id": 7}, {"id": "text"}, {"ok": True, "n": 1}])
    body = wire.run(wire.conversation.ask(Request("hello"), 0.0))
    assert msgspec.msgpack.decode(body)["n"] == 1
    assert len(wire.frames) == 1
    assert wire.pauses() == []


def test_a_lost_answer_is_asked_for_again() -> None:
    """Under the same number, over a new connection; an answer that comes late but in time for a patient asker counts."""
    wire = scripted([], ok(n=2))
    body = wire.run(wire.conversation.ask(Request("hello"), 60.0))
    assert msgspec.msgpack.decode(body)["n"] == 2
    assert wire.frames[0] == wire.frames[1]
    assert [type(step) for step in wire.steps] == [Send, Receive, HangUp, Pause, Send, Receive]


def test_an_impatient_asker_waits_for_the_answer_only() -> None:
    """No service is said at once; one that does not answer, when the wait and the time-out are over."""
    wire = scripted(AWAY)
    with pytest.raises(NotRunningError, match="no service"):
        wire.run(wire.conversation.ask(Request("hello"), 0.0))
    assert wire.now == 100.0
    wire = scripted([])
    with pytest.raises(ServiceTimeoutError, match="did not answer `pull` within 15 s"):
        wire.run(wire.conversation.ask(Request("pull", wait_s=5.0), 0.0))
    assert wire.now == 115.0


def test_patience_bounds_how_long_a_service_is_looked_for() -> None:
    """Not much longer than that: the pause that was begun is ended."""
    wire = scripted(AWAY)
    with pytest.raises(NotRunningError, match="no service"):
        wire.run(wire.conversation.ask(Request("hello"), 20.0))
    assert 120.0 <= wire.now <= 123.0


def test_a_service_that_is_away_is_not_asked_in_a_spin() -> None:
    """Pauses double, from 0.05 s to 2 s, each with half of it as jitter."""
    wire = scripted(*[AWAY] * 200, ok())
    wire.run(wire.conversation.ask(Request("hello"), math.inf))
    slept = wire.pauses()
    assert len(slept) == 200
    assert all(0.025 <= pause <= 3.0 for pause in slept)
    assert sum(slept[:12]) > 5.0
    assert len(set(slept)) == len(slept)


def test_a_client_that_is_closed_asks_no_more() -> None:
    """However patient it is."""
    wire = scripted(AWAY, AWAY, CLOSED)
    with pytest.raises(NotRunningError, match="closed"):
        wire.run(wire.conversation.ask(Request("hello"), math.inf))
    assert len(wire.frames) == 3


def test_the_log_hears_of_an_absence_once() -> None:
    """Not before it has lasted a while, and again when it is over."""
    wire = scripted(*[AWAY] * 20, ok())
    wire.run(wire.conversation.ask(Request("hello"), math.inf))
    assert sum(wire.pauses()) > LOG_S
    assert [line.split(" there is ")[1] for line in wire.log] == ["waited for: no service answers", "back"]
    wire = scripted(AWAY, ok())
    wire.run(wire.conversation.ask(Request("hello"), math.inf))
    assert wire.log == []


@pytest.mark.parametrize(("code", "retryable"), [("busy", True), ("bad_field", False)])
def test_a_refusal_is_an_error_with_its_code(code: str, retryable: bool) -> None:
    """And it is not asked again by itself, however patient the asker is."""
    wire = scripted(refused(code))
    with pytest.raises(RequestError, match=f"it is {code}") as found:
        wire.run(wire.conversation.ask(Request("hello"), math.inf))
    assert (found.value.code, found.value.retryable, found.value.hint) == (code, retryable, "none")
    assert found.value.fields["error"] == code
    assert len(wire.frames) == 1


@pytest.mark.parametrize("fields", [{"name": "\ud800"}, {"x": object()}, {"n": 2**70}, {"long": "x" * (2 << 20)}])
def test_what_can_not_be_sent_is_a_usage_error(fields: dict[str, Any]) -> None:
    """Nothing is sent then."""
    wire = scripted(ok())
    with pytest.raises(UsageError, match="`hold`"):
        wire.run(wire.conversation.ask(Request("hold", fields), 0.0))
    assert wire.steps == []


# The loop of `batches` ------------------------------------------------------------------------------------------------


def following(
    wire: Wire,
    *,
    follow: bool = True,
    from_: str | None = "now",
    ahead: bool = False,
    is_ours: Callable[[], bool] = lambda: True,
) -> Following:
    def pull(from_: str | None, ack: Acknowledged, once: int) -> Request:
        return requests.pull("g", "w", max=None, wait_s=0.0, from_=from_, peek=False, lease_s=None, once=once, ack=ack)

    def pull_ahead(once: int) -> Request:
        return requests.pull("g", "w", max=None, wait_s=0.0, from_=None, peek=False, lease_s=None, once=once, ahead=True)

    def begin(batch: str) -> Request:
        return requests.extend("g", batch, None)

    def end(batch: str) -> Request:
        return requests.ack("g", batch, begin=True)

    patience_s = math.inf if follow else 0.0
    owed = OwedAck("g", patience_s, is_ours)
    early = Early(wire.conversation, pull_ahead, begin, end, patience_s, owed) if ahead else None
    return Following(
        wire.conversation, pull, from_, owed, follow=follow, patience_s=patience_s, early=early, is_ours=is_ours
    )


def next_id(wire: Wire, loop: Following) -> str | None:
    """The id of the next batch."""
    found = wire.run(loop.next())
    assert found is not None
    return found.pulled.id


def test_a_loop_ends_when_nothing_comes() -> None:
    """Without `follow`; a refusal ends it too."""
    wire = scripted(batch(1), ok(batch=None), refused("busy"))
    loop = following(wire, follow=False)
    assert next_id(wire, loop) == "t-1"
    assert wire.run(loop.next()) is None
    with pytest.raises(RequestError, match="busy"):
        wire.run(loop.next())
    assert [frame["from"] for frame in wire.frames] == ["now"] * 3


def test_a_loop_that_follows_goes_on() -> None:
    """After what passes by itself, with pauses that grow, and after pulls that found nothing, without one."""
    wire = scripted(refused("busy"), refused("storage"), refused("stopping"), ok(batch=None), ok(batch=None), batch(1))
    assert next_id(wire, following(wire)) == "t-1"
    pauses = wire.pauses()
    assert len(pauses) == 3
    assert all(low / 2 <= pause <= low * 1.5 for pause, low in zip(pauses, (0.05, 0.1, 0.2), strict=True))


def test_a_loop_ends_with_what_does_not_pass() -> None:
    """Of a name that is none the service thinks the same the next time."""
    wire = scripted(refused("bad_group"))
    with pytest.raises(RequestError, match="bad_group"):
        wire.run(following(wire).next())


def test_a_group_that_a_later_pull_makes_begins_afresh() -> None:
    """It was lost: forget everything first. The first pull may make it."""
    wire = scripted(batch(1, created=True), refused("unknown_group"), batch(2, created=True), batch(3, existed=True))
    loop = following(wire)
    assert [next_id(wire, loop) for _ in range(3)] == ["t-1", "t-2", "t-3"]
    assert [frame["from"] for frame in wire.frames] == ["now", "fresh", "fresh", "fresh"]


def test_what_a_loop_leaves_is_given_back() -> None:
    """Once; that the service is away by then is no error."""
    wire = scripted(batch(1), ok(), AWAY)
    loop = following(wire)
    next_id(wire, loop)
    wire.run(loop.leave())
    wire.run(loop.leave())
    assert [(frame["op"], frame.get("batch")) for frame in wire.frames] == [("pull", None), ("release", "t-1")]
    left = Lease(pulled(3), follows=False)
    wire.run(left.leave())
    assert [frame["op"] for frame in wire.frames] == ["pull", "release", "release"]


def test_what_another_process_began_is_left_alone() -> None:
    """In a child made with fork, a copy of the loop gives nothing back, and acknowledges nothing in the name of its parent. What
    the child itself acknowledges goes at once: nobody asks for the next batch."""
    ours = True
    wire = scripted(batch(1), ok(), batch(2, acked=None), ok())
    loop = following(wire, is_ours=lambda: ours)
    found = wire.run(loop.next())
    assert found is not None
    ours = False
    wire.run(loop.leave())
    assert carried(wire) == ["pull"]
    wire.run(found.lease.ack(wait=False))
    assert carried(wire) == ["pull", "ack t-1"]
    ours = True
    found = wire.run(loop.next())
    assert found is not None
    wire.run(found.lease.ack(wait=False))
    ours = False
    wire.run(loop.leave())
    assert carried(wire) == ["pull", "ack t-1", "pull"]


def numbers(wire: Wire) -> list[int]:
    """The numbers of the pulls: 0 is the first, and so is what comes again."""
    found = [frame["once"] for frame in wire.frames if frame["op"] == "pull"]
    return [found.index(once) for once in found]


def test_a_pull_whose_reply_is_lost_comes_again() -> None:
    """With its number, so it is handed what the first was handed; and so where the service could not say what became of it."""
    wire = scripted(batch(1), [], AWAY, refused("storage"), batch(2), ok(batch=None), batch(3))
    loop = following(wire)
    assert [next_id(wire, loop) for _ in range(3)] == ["t-1", "t-2", "t-3"]
    assert numbers(wire) == [0, 1, 1, 1, 1, 5, 6]


# Pulling ahead --------------------------------------------------------------------------------------------------------


def asked(wire: Wire) -> list[str]:
    """The requests, shortly."""
    marks = ("begin", "ahead")
    return [" ".join([f["op"], *(mark for mark in marks if mark in f), f.get("batch", "")]).strip() for f in wire.frames]


def test_the_next_batch_is_asked_for_before_the_present_one_is_done() -> None:
    """While there is more; it is begun before anybody sees it, however its reply and others cross. Then a usual pull follows."""
    wire = scripted(batch(1, more=True), batch(2, more=True), ok(), ok(), batch(3), ok(), ok(batch=None))
    loop = following(wire, follow=False, ahead=True)
    found = wire.run(loop.next())
    assert found is not None and asked(wire) == ["pull", "pull ahead"]
    wire.run(found.lease.ack())  # before its own reply comes that to the pull
    assert [next_id(wire, loop) for _ in range(2)] == ["t-2", "t-3"]
    assert wire.run(loop.next()) is None
    wire.run(loop.leave())
    assert asked(wire) == ["pull", "pull ahead", "ack t-1", "extend t-2", "pull ahead", "extend t-3", "pull"]


@pytest.mark.parametrize("code", ["lease_expired", "already_acked", "unknown_group", "storage"])
def test_what_is_not_ours_any_more_is_dropped(code: str) -> None:
    """As if it had never come: the next pull tells what there is."""
    wire = scripted(batch(1, more=True), batch(2), refused(code), batch(3))
    loop = following(wire, ahead=True)
    assert [next_id(wire, loop) for _ in range(2)] == ["t-1", "t-3"]
    assert asked(wire) == ["pull", "pull ahead", "extend t-2", "pull"]
    wire.run(loop.leave())
    assert asked(wire)[4:] == ["release t-3"]


@pytest.mark.parametrize(
    "outcome", [ok(batch=None), refused("busy"), refused("unknown_group"), [], AWAY, ServiceError("no socket")]
)
def test_a_pull_ahead_that_brings_nothing_stops_nothing(outcome: list[dict[str, Any]] | ShardwatchError) -> None:
    """Nothing there, a refusal, a lost reply, no service: the usual pull follows, which waits or says what is wrong."""
    wire = scripted(batch(1, more=True), outcome, batch(2))
    loop = following(wire, ahead=True)
    assert [next_id(wire, loop) for _ in range(2)] == ["t-1", "t-2"]
    assert asked(wire) == ["pull", "pull ahead", "pull"]


def test_a_cut_connection_takes_the_reply_with_it() -> None:
    """It is not waited for; one that had come is kept, and the service says whether it counts."""
    wire = scripted(batch(1, more=True), [], [], ok(), batch(3))
    loop = following(wire, ahead=True)
    found = wire.run(loop.next())
    assert found is not None
    wire.run(found.lease.ack())  # is asked twice, with a new connection in between
    before = wire.now
    assert next_id(wire, loop) == "t-3"
    assert wire.now == before
    assert asked(wire) == ["pull", "pull ahead", "ack t-1", "ack t-1", "pull"]
    wire = scripted(batch(1, more=True), batch(2), [], ok(), refused("lease_expired"), batch(3))
    loop = following(wire, ahead=True)
    found = wire.run(loop.next())
    assert found is not None
    wire.run(found.lease.ack())
    assert next_id(wire, loop) == "t-3"
    assert asked(wire) == ["pull", "pull ahead", "ack t-1", "ack t-1", "extend t-2", "pull"]


@pytest.mark.parametrize("code", ["storage", "lease_expired"])
def test_what_was_lost_with_a_reply_comes_with_the_next_pull(code: str) -> None:
    """What was pulled ahead may have begun by then. If it is known whose it is, the next pull is one of its own."""
    wire = scripted(batch(1, more=True), [], [], [], ok(), batch(2, acked=None), batch(3))
    loop = following(wire, ahead=True)
    assert left_to_the_loop(wire, loop) == "t-1"
    assert [next_id(wire, loop) for _ in range(2)] == ["t-2", "t-3"]
    assert asked(wire) == ["pull", "pull ahead", "ack begin t-1", "pull ahead", "ack t-1", "pull", "pull"]
    assert numbers(wire) == [0, 1, 2, 1, 4]
    wire = scripted(batch(1, more=True), batch(2), refused(code), batch(2))
    loop = following(wire, ahead=True)
    assert [next_id(wire, loop) for _ in range(2)] == ["t-1", "t-2"]
    assert asked(wire) == ["pull", "pull ahead", "extend t-2", "pull"]
    assert numbers(wire) == [0, 1, 1 if code == "storage" else 2]


# An ack that nobody waits for -----------------------------------------------------------------------------------------


def carried(wire: Wire) -> list[str]:
    """The requests, with what they acknowledge: `+t-1`, or `+?` where they ask whether they could."""
    return [what + (f" +{f['ack'] or '?'}" if "ack" in f else "") for what, f in zip(asked(wire), wire.frames, strict=True)]


def left_to_the_loop(wire: Wire, loop: Following) -> str | None:
    """The id of the next batch, which is acknowledged without waiting."""
    found = wire.run(loop.next())
    assert found is not None
    before = len(wire.frames)
    assert wire.run(found.lease.ack(wait=False))
    assert len(wire.frames) == before
    wire.run(found.lease.leave())  # it is not given back
    return found.pulled.id


def test_it_goes_with_the_next_pull() -> None:
    """Once the service has shown that it knows such pulls: the first goes by itself. The last one does when the loop is left."""
    wire = scripted(batch(1), ok(), batch(2, acked=None), batch(3, acked=True), ok(batch=None, acked=True), batch(4), ok())
    loop = following(wire)
    assert [left_to_the_loop(wire, loop) for _ in range(4)] == ["t-1", "t-2", "t-3", "t-4"]
    wire.run(loop.leave())
    wire.run(loop.leave())
    assert carried(wire) == ["pull", "ack t-1", "pull +?", "pull +t-2", "pull +t-3", "pull", "ack t-4"]


def test_it_goes_with_the_beginning_of_what_was_pulled_ahead() -> None:
    """And the batch after that is asked for too, before any of this is answered."""
    wire = scripted(
        batch(1, more=True), batch(2, more=True), ok(begun="t-2"), batch(3), ok(begun="t-3"), ok(batch=None), ok(),
        ok(batch=None), batch(4, acked=None), ok(batch=None, acked=True),
    )  # fmt: skip
    loop = following(wire, ahead=True)
    assert [left_to_the_loop(wire, loop) for _ in range(4)] == ["t-1", "t-2", "t-3", "t-4"]
    assert carried(wire) == [
        "pull", "pull ahead", "ack begin t-1", "pull ahead", "ack begin t-2", "pull ahead", "ack t-3", "pull", "pull",
    ]  # fmt: skip


def test_events_are_decoded_while_the_service_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was pulled ahead, before it is known whether it has begun, and once each."""
    wire = scripted(
        batch(1, more=True), batch(2, more=True), ok(begun="t-2"), batch(3, more=True), ok(begun="t-3"), ok(batch=None)
    )  # fmt: skip
    loop = following(wire, ahead=True)
    before: list[int] = []

    def received() -> int:
        return sum(isinstance(step, Receive) for step in wire.steps)

    def noted(body: bytes) -> PullReply:
        before.append(received())
        return decode_pull(body)

    for module in (batch_of_client, early_of_client):
        monkeypatch.setattr(module, "decode_pull", noted)
    assert [left_to_the_loop(wire, loop) for _ in range(3)] == ["t-1", "t-2", "t-3"]
    assert (before, received()) == ([1, 2, 4], 5)  # of the replies, the third and the fifth say what has begun


def test_what_came_since_is_begun_too() -> None:
    """The last batch said that there was no more, but what was pulled ahead before that was known brings one."""
    wire = scripted(batch(1, more=True), batch(2), ok(begun="t-2"), batch(3), ok(), ok(), batch(4, acked=True))
    loop = following(wire, ahead=True)
    assert [left_to_the_loop(wire, loop) for _ in range(4)] == ["t-1", "t-2", "t-3", "t-4"]
    assert carried(wire) == [
        "pull", "pull ahead", "ack begin t-1", "pull ahead", "ack t-2", "extend t-3", "pull +t-3",
    ]  # fmt: skip


@pytest.mark.parametrize("begun", [{"begun": None}, {}])
def test_what_did_not_begin_with_it_is_begun_by_itself(begun: dict[str, None]) -> None:
    """Nothing was there yet, or the service does not know this. If it is somebody else's, what comes after it may be ours."""
    wire = scripted(batch(1, more=True), batch(2, more=True), ok(**begun), batch(3), refused("lease_expired"), ok(), batch(4))
    loop = following(wire, ahead=True)
    assert [left_to_the_loop(wire, loop) for _ in range(2)] == ["t-1", "t-3"]
    assert carried(wire) == ["pull", "pull ahead", "ack begin t-1", "pull ahead", "extend t-2", "extend t-3"]


@pytest.mark.parametrize(("code", "again"), [("lease_expired", []), ("storage", ["ack t-1"])])
def test_an_ack_that_is_refused_begins_nothing(code: str, again: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """What comes too late is logged; what is refused for now is owed still, and goes with the end of the next batch."""
    wire = scripted(batch(1, more=True), batch(2), refused(code), ok(batch=None), ok(), batch(3), ok())
    loop = following(wire, ahead=True)
    assert left_to_the_loop(wire, loop) == "t-1"
    assert next_id(wire, loop) == "t-2"
    wire.run(loop.leave())
    assert carried(wire) == ["pull", "pull ahead", "ack begin t-1", "pull ahead", "extend t-2", "release t-2", *again]
    assert ("was not acknowledged" in caplog.text) is (not again)


@pytest.mark.parametrize("lost", [AWAY, []])
def test_a_cut_connection_takes_what_was_asked_ahead_with_it(lost: list[dict[str, Any]] | ShardwatchError) -> None:
    """What is owed is owed still."""
    wire = scripted(batch(1, more=True), [], lost, lost, ok(), batch(2, acked=None))
    loop = following(wire, ahead=True)
    assert [left_to_the_loop(wire, loop) for _ in range(2)] == ["t-1", "t-2"]
    assert carried(wire)[-2:] == ["ack t-1", "pull +?"]


def test_a_service_that_does_not_know_it_is_asked_as_before() -> None:
    """Also one that is replaced by an earlier version while the loop goes on."""
    wire = scripted(batch(1), ok(), batch(2), ok(), batch(3, acked=None), batch(4), ok(), batch(5))
    loop = following(wire)
    assert [left_to_the_loop(wire, loop) for _ in range(3)] == ["t-1", "t-2", "t-3"]
    assert [next_id(wire, loop) for _ in range(2)] == ["t-4", "t-5"]
    assert carried(wire) == [
        "pull", "ack t-1", "pull +?", "ack t-2", "pull +?", "pull +t-3", "ack t-3", "pull +?",
    ]  # fmt: skip


@pytest.mark.parametrize("by_itself", [True, False])
def test_one_that_comes_too_late_is_logged(by_itself: bool, caplog: pytest.LogCaptureFixture) -> None:
    """And the loop goes on: the batch is handed out again."""
    late = [refused("lease_expired"), batch(2)] if by_itself else [ok(), batch(2, acked=None), batch(3, acked=False)]
    wire = scripted(batch(1), *late)
    loop = following(wire, follow=False)
    for _ in late:
        left_to_the_loop(wire, loop)
    assert [record.getMessage()[:33] for record in caplog.records] == ["A batch of group g was not acknow"]


def test_one_that_can_not_be_told_at_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Leaving a loop never fails, and waits for a service that is away for some seconds only."""
    wire = scripted(batch(1), AWAY)
    loop = following(wire)
    left_to_the_loop(wire, loop)
    wire.run(loop.leave())
    assert "no service answers" in caplog.text
    assert 5.0 <= sum(wire.pauses()) < 10.0


def test_a_refusal_for_now_is_asked_again() -> None:
    """With a pull, or by itself; what is owed is owed until it is told."""
    wire = scripted(batch(1), refused("busy"), ok(), batch(2, acked=None), refused("storage"), batch(3, acked=True))
    loop = following(wire)
    assert [left_to_the_loop(wire, loop) for _ in range(3)] == ["t-1", "t-2", "t-3"]
    assert carried(wire) == ["pull", "ack t-1", "ack t-1", "pull +?", "pull +t-2", "pull +t-2"]


def test_it_is_waited_for_where_no_loop_takes_it() -> None:
    """Of a batch that was pulled alone, of a second one before the next pull, and after the end of the loop."""
    wire = scripted(ok())
    wire.run(Lease(pulled(1), follows=False).ack(wait=False))
    assert carried(wire) == ["ack t-1"]
    wire = scripted(batch(1), ok(batch=None), batch(2), ok())
    loop = following(wire, ahead=False)
    first = wire.run(loop.next())
    second = wire.run(loop.next())
    assert first is not None and second is not None
    wire.run(first.lease.ack(wait=False))
    wire.run(second.lease.ack(wait=False))
    wire.run(loop.leave())
    wire.run(second.lease.ack(wait=False))
    assert carried(wire) == ["pull", "pull", "pull", "ack t-2", "ack t-1", "ack t-2"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_loop_that_is_left_gives_back_what_it_pulled_ahead(arrives: bool) -> None:
    """Once. What never arrived the service has back with the connection."""
    wire = scripted(batch(1, more=True), batch(2) if arrives else [], ok())
    loop = following(wire, ahead=True)
    next_id(wire, loop)
    wire.run(loop.leave())
    wire.run(loop.leave())
    assert asked(wire) == ["pull", "pull ahead", "release t-1", *["release t-2"] * arrives]


def test_what_could_not_be_begun_is_given_back() -> None:
    """The service does not answer just then, and the loop is impatient."""
    wire = scripted(batch(1, more=True), batch(2), AWAY, ok())
    loop = following(wire, follow=False, ahead=True)
    next_id(wire, loop)
    with pytest.raises(NotRunningError):
        wire.run(loop.next())
    wire.run(loop.leave())
    assert asked(wire)[-2:] == ["extend t-2", "release t-2"]


def test_what_nobody_has_seen_is_given_back() -> None:
    """The loop was interrupted after the batch had come, and before it was handed on: by Ctrl-C, say."""
    wire = scripted(batch(1, more=True), ok())
    loop = following(wire, ahead=True)
    flow = loop.next()
    step = next(flow)
    assert isinstance(step, Ask)
    assert isinstance(flow.send(wire.run(wire.conversation.ask(step.request, 0.0))), Alone)
    flow.close()
    wire.run(loop.leave())
    wire.run(loop.leave())
    assert asked(wire) == ["pull", "release t-1"]


def test_a_client_that_is_closed_is_left_at_once() -> None:
    """There is nobody to give anything back to: the service does so itself."""
    wire = scripted(batch(1, more=True), batch(2), CLOSED)
    loop = following(wire, ahead=True)
    next_id(wire, loop)
    wire.run(loop.leave())
    assert wire.pauses() == []


# Leases ---------------------------------------------------------------------------------------------------------------


def pulled(number: int | None) -> Pulled:
    return Pulled(None if number is None else f"t-{number}", "g", 1, 1000, [], False)


@pytest.fixture(params=["ack", "nack"])
def settle(request: pytest.FixtureRequest) -> Iterator[Callable[[Lease], Flow[bool]]]:
    yield (lambda lease: lease.ack()) if request.param == "ack" else (lambda lease: lease.nack("broken", 1.5))


def test_a_settled_batch_is_not_given_back(settle: Callable[[Lease], Flow[bool]]) -> None:
    """Whatever becomes of the loop afterwards."""
    wire = scripted(ok())
    lease = Lease(pulled(1), follows=False)
    assert wire.run(settle(lease))
    wire.run(lease.leave())
    assert [frame["batch"] for frame in wire.frames] == ["t-1"]


@pytest.mark.parametrize("code", ["lease_expired", "unknown_group"])
def test_too_late_ends_no_loop(settle: Callable[[Lease], Flow[bool]], code: str) -> None:
    """In a loop that follows it is handed out again; but who settles it twice, or asks once, is told."""
    wire = scripted(refused(code))
    followed = Lease(pulled(1), follows=True)
    assert not wire.run(settle(followed))
    for lease in (followed, Lease(pulled(1), follows=False)):
        with pytest.raises(RequestError, match=code):
            wire.run(settle(lease))


def test_a_loop_waits_to_settle_what_it_was_handed() -> None:
    """For ever where it follows; else five seconds for an ack, and not at all for the rest."""
    wire = scripted(ok())
    for lease in (Lease(pulled(1), follows=True), Lease(pulled(1), follows=False)):
        for flow in (lease.ack(), lease.nack("", None), lease.extend(3.0)):
            wire.run(flow)
    asked = [step.patience_s for step in wire.steps if isinstance(step, Ask)]
    assert asked == [math.inf] * 3 + [5.0, 0.0, 0.0]


def test_a_peek_has_nothing_to_give_back() -> None:
    """Its worker may have batches on lease meanwhile: they stay there."""
    wire = scripted(ok())
    wire.run(Lease(pulled(None), follows=False).release())
    assert wire.steps == []
