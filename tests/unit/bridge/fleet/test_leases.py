"""Who has which partition, where keys of the bucket are removed with other tools, and where workers come and go."""

from __future__ import annotations

from typing import cast

from shardwatch.bridge.fleet.leases import PartitionLeases
from shardwatch.bridge.fleet.sharing import Share
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.jetstream.reader import StreamMessage
from shardwatch.bridge.protocol.bodies import Message


class Bucket:
    """The last message of each subject; each that is put must know which one that is."""

    def __init__(self) -> None:
        self.sequence = 0
        self.messages: dict[str, tuple[int, bytes]] = {}

    async def put(self, stream: str, messages: list[tuple[Message, int]]) -> list[int | None]:
        return [self._put(message.subject, message.body, expected) for message, expected in messages]

    async def last(self, stream: str, subject: str) -> tuple[int, bytes] | None:
        return self.messages.get(subject)

    def remove(self, subject: str) -> None:
        """As `nats kv del` does: a message without a body is the last one from then on."""
        self._put(subject, b"", self.messages[subject][0])

    def _put(self, subject: str, body: bytes, expected: int) -> int | None:
        if self.messages.get(subject, (0, b""))[0] != expected:
            return None
        self.sequence += 1
        self.messages[subject] = self.sequence, body
        return self.sequence


async def test_a_key_that_was_removed_by_hand_is_nobodys() -> None:
    """Whoever has it, gives it up, and anybody takes it then: also who begins only now."""
    bucket = Bucket()
    broker = cast("Broker", bucket)
    first, second = (PartitionLeases("s", "g", name, 15.0) for name in ("first", "second"))
    await first.turn(broker, 1, (), ())
    assert first.held() == [0]
    bucket.remove("$KV.s-groups.g.0")
    first.saw([StreamMessage(bucket.sequence, "$KV.s-groups.g.0", b"")])
    assert first.held() == []
    for _ in range(2):
        await second.turn(broker, 1, (), ())
    assert second.held() == [0]


def test_workers_that_are_gone_are_forgotten() -> None:
    """One that lives long would have a row for each that ever came, and look at all of them in every turn."""
    share = Share("w", 10.0)
    for n in range(100):
        share.saw_worker(f"a{n}", n + 1, 10.0, 0.0)
        share.saw_worker(f"b{n}", n + 1, 0.0, 0.0)
    share.plan(1, 5.0, (), ())
    assert len(share._workers) == 100
    share.saw_worker("w", 1, 10.0, 5.0)
    assert [write.partition for write in share.plan(1, 12.0, (), ())] == [0] and len(share._workers) == 1
