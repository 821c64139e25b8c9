"""What the readers of a stream leave on a nats-server, which takes a limited number of consumers for each stream."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fleet_source import Source, client_of, files
from jetstream import NatsServer
from nats.js.client import JetStreamContext
from waiting import eventually

from shardwatch import NotRunningError
from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.protocol.layouts import StreamWish
from shardwatch.bridge.protocol.stream import CONSUMERS_MAX, settings

pytestmark = [pytest.mark.needs("nats-server"), pytest.mark.usefixtures("no_leaks")]

#: Readers of a worker: of each of four partitions, and of the heads. One more reads the bucket.
READERS = 5


def consumers(source: Source) -> tuple[int, int]:
    """Of the stream, and of the bucket."""

    async def counted(js: JetStreamContext) -> tuple[int, int]:
        stream = await js.stream_info(source.stream)
        bucket = await js.stream_info(f"KV_{source.stream}-groups")
        return stream.state.consumer_count, bucket.state.consumer_count

    return source.server.ask(counted)


def test_readers_leave_nothing_behind(server: NatsServer, tmp_path: Path) -> None:
    """Neither at their end, nor when the connection is lost: the next one removes what that left."""
    source = Source(server)
    source.tell(files(8), generation=True)
    sizes: dict[str, int | None] = {}
    with client_of(source, tmp_path / "store") as client:
        batches = client.batches("g")

        def reads_until(wanted: dict[str, int | None]) -> None:
            while sizes != wanted:
                batch = next(batches)
                sizes.update((event.path, event.size) for event in batch.events)
                batch.ack()

        reads_until(files(8))
        assert consumers(source) == (READERS, 1)
        server.kill()
        server.start()
        source.tell({"/r/0": 2})
        reads_until(files(8) | {"/r/0": 2})
        eventually(lambda: consumers(source) == (READERS, 1), what="another connection, and none of the old consumers")
        batches.close()
    eventually(lambda: consumers(source) == (0, 0), what="a stream without consumers")


def test_a_stream_that_takes_no_more_consumers_says_what_to_do(server: NatsServer, tmp_path: Path) -> None:
    source = Source(server)
    few = settings(StreamWish()) | {"max_consumers": READERS - 1}

    async def made(js: JetStreamContext) -> None:
        await js.add_stream(name=source.stream, subjects=[source.names.stream_subjects], **few)

    server.ask(made)
    source.tell(files(8), generation=True)
    with client_of(source, tmp_path / "store") as client, pytest.raises(NotRunningError) as refused:
        list(client.batches("g", follow=False))
    assert f"nats stream edit {source.stream} --max-consumers={CONSUMERS_MAX}" in str(refused.value)
    eventually(lambda: consumers(source) == (0, 0), what="a stream without consumers")


def test_a_stream_is_made_for_many_consumers_where_the_account_may_have_them(tmp_path: Path) -> None:
    """And with fewer where it may not."""
    accounts = (
        'accounts { many { jetstream: enabled, users: [{user: many, password: word}] },'
        ' few { jetstream: {max_consumers: 7}, users: [{user: few, password: word}] } }'
    )
    server = NatsServer(tmp_path / "nats", accounts)

    async def made(user: str) -> int | None:
        broker = await Broker.connected(access(None, {"NATS_URL": server.url.replace("nats://", f"nats://{user}:word@")}))
        try:
            found = await broker.create("s", "s.>", StreamWish())
        finally:
            await broker.close()
        most: int | None = found.config["max_consumers"]
        return most

    try:
        assert asyncio.run(made("many")) == CONSUMERS_MAX
        assert asyncio.run(made("few")) in (-1, 7)
    finally:
        server.kill()
