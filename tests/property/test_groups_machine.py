"""After any schedule of changes, pulls, acks, failures, crashes and seeks a consumer's mirror equals the truth."""

from __future__ import annotations

import shutil
from typing import Any
from unittest.mock import patch

import session
from harness_serve import Bench
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from plain_index import PlainIndex
from told_index import Tellable, ToldIndex

from shardwatch.aggregator.index import file, page

PATHS = [f"/r/{d}/{n}" for d in ("a", "b") for n in range(3)]
GROUPS = ("start", "now", "late")
paths = st.sampled_from(PATHS)
groups = st.sampled_from(GROUPS)
workers = st.sampled_from(["w1", "w2", "w3"])


def lane(path: str) -> int:
    return 5 if path.startswith("/r/a/") else 0


class GroupsMachine(RuleBasedStateMachine):
    """Groups over one index. Of each, one mirror applies a batch when it is handed out, and one when its ack is accepted:
    a worker may die between the two, so both must end right."""

    @staticmethod
    def new_index() -> Tellable:
        return ToldIndex()

    def __init__(self) -> None:
        super().__init__()
        #: A page has two or three entries, so that there are some, and several of one directory. After a crash, ticks go on from
        #: where they were reserved.
        self.pages = patch.multiple(page, ENTRIES_MIN=2, ENTRIES_MAX=3)
        self.ticks = patch.object(file, "TICKS_RESERVED", 5)
        self.pages.start()
        self.ticks.start()
        self.directory = session.place()
        place = self.directory / "groups.db"
        self.bench = Bench(place, self.new_index(), lease_ms=3000, attempts_max=2, leases_max=4, replay_s=0)
        self.size = 0
        #: Whether seeks and lost indexes are among the steps: they replay, and so would hide what was lost before.
        self.healing = False
        self.handed: dict[str, dict[str, int]] = {}
        #: Group -> paths of which it was handed a deletion: until that is acked the group counts as holding them.
        self.deleted: dict[str, set[str]] = {}
        self.acked: dict[str, dict[str, int]] = {}
        #: Batches on lease as their workers see it: id -> (batch, end).
        self.leases: dict[str, tuple[dict[str, Any], float]] = {}
        #: Batches that were pulled ahead and that their workers have not begun: they may be anybody's by now.
        self.ahead: dict[str, dict[str, Any]] = {}
        #: Batches that were handed out before the service was started last.
        self.outlived: set[str] = set()
        #: (group, path, tick) of every event that was handed out: it may come again.
        self.told: set[tuple[str, str, int]] = set()
        #: Of the last pull that came twice.
        self.once = 0
        self.waits: set[int] = set()

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.pages.stop()
            self.ticks.stop()
            self.bench.store.abandon()
            shutil.rmtree(self.directory)

    @initialize(there=st.sets(paths), healing=st.booleans())
    def begin(self, there: set[str], healing: bool) -> None:
        self.healing = healing
        for path in sorted(there):
            self.write(path)
        for group in GROUPS[:2]:
            self.make(group)

    def make(self, group: str) -> None:
        self.handed[group] = dict(self.bench.index.truth()) if group == "now" else {}
        self.acked[group] = dict(self.handed[group])
        self.deleted[group] = set()
        self.bench.ask("pull", group=group, from_="now" if group == "now" else "start", peek=True)

    @rule()
    def drop(self) -> None:
        """A group comes late, or is dropped and begins again: with another's bit in the rows; what is there is new to it."""
        self.leases = {i: (b, end) for i, (b, end) in self.leases.items() if b["group"] != "late"}
        self.ahead = {i: b for i, b in self.ahead.items() if b["group"] != "late"}
        if "late" in self.handed:
            assert self.bench.ask("drop", group="late")["ok"]
            self.told = {said for said in self.told if said[0] != "late"}
        self.collect_replies()
        self.make("late")

    # -- the tree

    @rule(path=paths)
    def write(self, path: str) -> None:
        self.size += 1
        self.bench.index.put(path.encode(), lane=lane(path), size=self.size, ino=self.size)
        self.bench.commit()
        self.collect_replies()

    @rule(path=paths, all_=st.booleans())
    def write_all(self, path: str, all_: bool) -> None:
        """The files beside a path, or those after it: one record of a burst. They may become a page, or be one already."""
        self.size += 1
        above = path.rsplit("/", 1)[0]
        some = [p.encode() for p in PATHS if p.rsplit("/", 1)[0] == above and (all_ or p >= path)]
        self.bench.index.put_all(some, lane=lane(path), size=self.size)
        self.bench.commit()
        self.collect_replies()

    @rule(source=paths, onto=paths)
    def move(self, source: str, onto: str) -> None:
        """One commit, as of a rename that one look found: the same inode, size and time at another path."""
        row = self.bench.index.living().get(source.encode())
        if row is not None and source != onto:
            self.bench.index.remove(source.encode())
            self.bench.index.put(onto.encode(), lane=lane(onto), size=row.size, ino=row.ino)
            self.bench.commit()
            self.collect_replies()

    @rule(path=paths)
    def remove(self, path: str) -> None:
        self.bench.index.remove(path.encode())
        self.bench.commit()
        self.collect_replies()

    @rule()
    def forget_tombstones(self) -> None:
        self.bench.index.collect(self.bench.server.passed(), set_aside=self.bench.server.registry.set_aside())

    # -- the workers

    @rule(group=groups, worker=workers, limit=st.integers(1, 5), wait=st.booleans())
    def pull(self, group: str, worker: str, limit: int, wait: bool) -> None:
        if group not in self.handed:
            self.make(group)
        self.waits.add(self.bench.send("pull", group=group, max=limit, worker=worker, wait_ms=2000 if wait else 0))
        self.collect_replies()

    def collect_replies(self) -> None:
        ready = [n for n in self.waits if n in self.bench.replies]
        for number in sorted(ready, key=lambda n: (self.bench.replied_at[n], n)):
            self.waits.discard(number)
            reply = self.bench.replies.pop(number)
            assert reply["ok"] or "was dropped" in reply["message"], reply
            if not reply["ok"]:
                continue
            if reply["batch"] is not None and self.bench.replied_at[number] == self.bench.now:
                assert not self.bench.ask("groups")["held"], "a batch while batches are held back"
            if reply["batch"] is not None:
                self.receive(reply["batch"], self.bench.replied_at[number])

    def receive(self, batch: dict[str, Any], at: float) -> None:
        self.leases = {i: (b, end) for i, (b, end) in self.leases.items() if end > at}
        mirror = self.handed[batch["group"]]
        names = [e["path"] for e in batch["events"] if e["type"] == "event"]
        assert len(set(names)) == len(names)
        live = [b for b, _ in self.leases.values() if b["group"] == batch["group"]]
        busy = {e["path"] for b in live for e in b["events"] if e["type"] == "event"}
        assert not busy & set(names), "a path in two leases"
        assert not any(e["type"] == "fresh" for b in live for e in b["events"]), "a batch beside fresh"
        if not names:
            assert len(batch["events"]) == 1
            # What is on lease from before was revoked.
            for other in live:
                del self.leases[other["id"]]
        self.apply_what_makes_sense(mirror, batch)
        self.leases[batch["id"]] = (batch, at + 3)

    def apply_what_makes_sense(self, mirror: dict[str, int], batch: dict[str, Any]) -> None:
        """`modified`, `deleted` and `moved` are told only of what this very group was handed before, `created` of all else;
        save for what is handed out again, and where it was handed a deletion that it may not have applied."""
        deleted = self.deleted[batch["group"]]
        for event in batch["events"]:
            if event["type"] == "event" and (said := (batch["group"], event["path"], event["tick"])) not in self.told:
                self.told.add(said)
                holds, known = event["path"] in mirror, event["event_type"] in ("modified", "deleted")
                assert holds == known or (known and event["path"] in deleted), (event, mirror)
                if event["event_type"] == "moved":
                    assert event["moved_from"] in mirror or event["moved_from"] in deleted, (event, mirror)
            apply(mirror, {"events": [event]})
            gone = event.get("moved_from") or (event["path"] if event.get("event_type") == "deleted" else "")
            deleted.update([gone] if gone else [])

    def expire(self) -> None:
        self.leases = {i: (b, end) for i, (b, end) in self.leases.items() if end > self.bench.now}

    # -- what is pulled ahead

    @rule(group=groups, worker=workers, limit=st.integers(1, 5))
    def pull_ahead(self, group: str, worker: str, limit: int) -> None:
        """It is answered at once, and never with the notice to forget everything. To the group it counts as handed out."""
        reply = self.bench.ask("pull", group=group, max=limit, worker=worker, ahead=True)
        if group not in self.handed:
            assert reply["error"] == "unknown_group"
        elif (batch := reply["batch"]) is not None:
            assert batch["ahead"] and all(e["type"] == "event" for e in batch["events"])
            assert not self.paths_of(batch) & self.busy(batch["group"]), "a path in two leases"
            self.apply_what_makes_sense(self.handed[group], batch)
            self.ahead[batch["id"]] = batch

    # -- what is asked again

    @precondition(lambda self: not self.waits)
    @rule(group=groups, worker=workers, limit=st.integers(1, 5), killed=st.booleans())
    def pull_again(self, group: str, worker: str, limit: int, killed: bool) -> None:
        """A pull whose reply is lost comes again, on another connection. What the first was handed is on lease no more, and
        nobody waits for its lease: this pull has it, if nothing else is to be handed out again."""
        if group not in self.handed:
            self.make(group)
        self.once += 1
        fields = {"group": group, "max": limit, "worker": worker, "wait_ms": 0, "once": self.once}
        lost = self.bench.ask("pull", **fields)["batch"]
        if lost is not None:
            self.receive(lost, self.bench.now)
            del self.leases[lost["id"]]
        if killed:
            self.kill()
        self.bench.peer = b"another"
        batch = self.bench.ask("pull", **fields)["batch"]
        self.bench.peer = b"peer"
        assert batch is not None or lost is None
        if lost is not None:
            assert self.bench.ask("ack", group=group, batch=lost["id"])["error"] == "lease_expired"
        if batch is not None:
            self.receive(batch, self.bench.now)

    def paths_of(self, batch: dict[str, Any]) -> set[str]:
        return {e["path"] for e in batch["events"] if e["type"] == "event"}

    def busy(self, group: str) -> set[str]:
        live = [b for b, end in self.leases.values() if b["group"] == group and end > self.bench.now]
        return set().union(*(self.paths_of(batch) for batch in live))

    @precondition(lambda self: self.ahead)
    @rule(data=st.data())
    def begin_ahead(self, data: st.DataObject) -> None:
        """A worker may begin what nobody else has, and nobody else gets it from then on."""
        key = data.draw(st.sampled_from(list(self.ahead)))
        batch = self.ahead.pop(key)
        if self.bench.ask("extend", group=batch["group"], batch=key)["ok"]:
            assert not self.paths_of(batch) & self.busy(batch["group"]), "a path in two leases"
            self.leases[key] = (batch, self.bench.now + 3)

    def none_is_begun(self) -> None:
        for key, batch in self.ahead.items():
            assert self.bench.ask("extend", group=batch["group"], batch=key)["error"] in ("lease_expired", "unknown_group")
        self.ahead.clear()

    @rule()
    def hang_up(self) -> None:
        """All workers go: what they have begun stays theirs, and what they have not is free."""
        self.bench.server.departed([b"peer"], [])
        self.waits.clear()
        self.none_is_begun()
        self.collect_replies()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        batch, _ = self.leases.pop(data.draw(st.sampled_from(list(self.leases))))
        reply = self.bench.ack(batch)
        if reply["ok"]:
            apply(self.acked[batch["group"]], batch)
            assert self.bench.ack(batch)["repeated"]
        else:
            assert reply["error"] == "lease_expired" and "forget everything" in reply["message"], reply
        self.collect_replies()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def ack_some(self, data: st.DataObject) -> None:
        """What is acknowledged by its tick does not come again; the rest of the batch stays on lease."""
        key = data.draw(st.sampled_from(list(self.leases)))
        batch, end = self.leases[key]
        done = [e for e in batch["events"][1:] if data.draw(st.booleans())]
        reply = self.bench.ask("ack", group=batch["group"], batch=key, ticks=[e["tick"] for e in done] + [10**9])
        if reply["ok"]:
            apply(self.acked[batch["group"]], {"events": done})
            self.leases[key] = ({**batch, "events": [e for e in batch["events"] if e not in done]}, end)
        else:
            assert reply["error"] in ("lease_expired", "bad_field"), reply
        self.collect_replies()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def nack_some(self, data: st.DataObject) -> None:
        """What failed comes again, and the rest of the batch stays on lease. After a restart the service does not know which
        deletions belong to what was moved: then all of them fail, and perhaps nothing is left."""
        key = data.draw(st.sampled_from(list(self.leases)))
        batch, end = self.leases[key]
        failed = [e for e in batch["events"][1:] if data.draw(st.booleans())]
        ticks = [e["tick"] for e in failed] + [10**9]
        reply = self.bench.ask("nack", group=batch["group"], batch=key, ticks=ticks, retry_ms=0)
        if reply["ok"]:
            if failed and key in self.outlived:
                failed += [e for e in batch["events"] if e.get("event_type") == "deleted"]
            left = [e for e in batch["events"] if e not in failed]
            self.leases[key] = ({**batch, "events": left}, end)
            if not left:
                del self.leases[key]
        else:
            assert reply["error"] in ("lease_expired", "bad_field", "already_acked"), reply
        self.collect_replies()

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), op=st.sampled_from(["nack", "release"]))
    def give_back(self, data: st.DataObject, op: str) -> None:
        batch, _ = self.leases.pop(data.draw(st.sampled_from(list(self.leases))))
        reply = self.bench.ask(op, group=batch["group"], batch=batch["id"])
        assert reply["ok"] or reply["error"] == "lease_expired"
        assert not self.bench.ack(batch)["ok"]
        self.collect_replies()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.leases)))
        batch, _ = self.leases[key]
        if self.bench.ask("extend", group=batch["group"], batch=key)["ok"]:
            self.leases[key] = (batch, self.bench.now + 3)
        else:
            del self.leases[key]

    @precondition(lambda self: self.healing)
    @rule(group=groups, back=st.integers(0, 10))
    def seek(self, group: str, back: int) -> None:
        if group not in self.handed:
            self.make(group)
        # Only back: forward gives up what is pending.
        tick = max(0, self.bench.group(group)["cursor"] - back)
        assert self.bench.ask("seek", group=group, tick=tick)["ok"]
        self.collect_replies()

    # -- holds

    @rule(name=st.sampled_from(["make", "git"]), lease_ms=st.sampled_from([400, 2000]))
    def hold(self, name: str, lease_ms: int) -> None:
        """Until it is let go, or its lease ends, no pull gets anything; nothing is lost by it."""
        assert self.bench.ask("hold", name=name, lease_ms=lease_ms)["ok"]
        if self.bench.ask("groups")["held"]:
            self.none_is_begun()

    @rule(name=st.sampled_from(["make", "git"]))
    def let_go(self, name: str) -> None:
        assert self.bench.ask("unhold", name=name)["ok"]
        self.answer_syncs()

    def answer_syncs(self) -> None:
        """What was begun at the end of a hold is done, and noticed."""
        self.bench.advance(0.01)
        self.bench.engine.syncs = {token: {"ok": True} for token in self.bench.engine.syncs}
        self.bench.advance(0.01)
        self.collect_replies()

    # -- the service

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.5]))
    def time_passes(self, seconds: float) -> None:
        self.bench.advance(seconds)
        self.collect_replies()
        self.expire()

    @rule()
    def kill(self) -> None:
        self.outlived.update(self.leases)
        self.waits.clear()
        self.bench.replies.clear()
        self.bench.index.kill()
        self.bench.crash()
        self.none_is_begun()

    @rule()
    def restart(self) -> None:
        self.outlived.update(self.leases)
        self.waits.clear()
        self.bench.restart()
        self.bench.replies.clear()
        self.none_is_begun()

    @precondition(lambda self: self.healing)
    @rule()
    def lose_the_index(self) -> None:
        """A new index finds what is there; its ticks begin anew."""
        self.kill()
        old = self.bench.index
        self.told.clear()
        new = self.new_index()
        for row in old.living().values():
            new.put(row.path, lane=row.lane, size=row.size)
        self.bench.index = new
        self.bench.crash()

    @invariant()
    def every_journal_is_written(self) -> None:
        assert not any(g.journal for g in self.bench.server.registry.by_name.values())

    def drain(self) -> None:
        """Quiet: whoever is left pulls and acks until nothing is pending."""
        if not self.handed:
            return
        self.bench.advance(4)
        self.answer_syncs()
        self.expire()
        self.bench.replies.clear()
        for group in self.handed:
            while True:
                batch = self.bench.pull(group, from_=None)
                if batch is None:
                    found = self.bench.group(group)
                    if (found["backlog"], found["leases"], found["state"], found["parked"]) == (0, [], "active", []):
                        break
                    self.bench.advance(30)
                    self.bench.ask("retry", group=group)  # the lease that ended may have been the last attempt
                    continue
                self.apply_what_makes_sense(self.handed[group], batch)
                apply(self.acked[group], batch)
                assert self.bench.ack(batch)["ok"]
            truth = self.bench.index.truth()
            assert self.handed[group] == truth
            assert self.acked[group] == truth


def apply(mirror: dict[str, int], batch: dict[str, Any]) -> None:
    for event in batch["events"]:
        if event["type"] == "fresh":
            mirror.clear()
        elif event["event_type"] == "deleted":
            mirror.pop(event["path"], None)
        else:
            if event["event_type"] == "moved":
                mirror.pop(event["moved_from"], None)
            mirror[event["path"]] = event["size"]


GroupsMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestGroups = GroupsMachine.TestCase


class ShortLooksMachine(GroupsMachine):
    """The same over an index of which each look gets on by two ticks only, so that it may find nothing and not be at the end: a
    group that took that for the end would miss what follows."""

    @staticmethod
    def new_index() -> Tellable:
        return PlainIndex(sight=2)


ShortLooksMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=60)
TestGroupsWithShortLooks = ShortLooksMachine.TestCase
