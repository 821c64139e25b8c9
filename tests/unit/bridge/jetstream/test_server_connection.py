"""What is forbidden, and what may be: a server complains beside, and does not answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from nats.aio.client import Client

from shardwatch.bridge.jetstream import server_connection
from shardwatch.bridge.jetstream.access import Access
from shardwatch.bridge.jetstream.server_connection import READING_API, ServerConnection
from shardwatch.shard.contract.errors import UsageError


async def test_what_a_connection_can_do_without_ends_nothing_else() -> None:
    """nats-py writes complaints in small letters, whatever the subject's are."""
    forbidden = server_connection._Forbidden()
    connection = ServerConnection(cast("Client", SimpleNamespace()), "nats://h:1", forbidden, asyncio.Event())
    connection.do_without(READING_API)
    await forbidden.complained(Exception('nats: permissions violation for publish to "$js.api.consumer.create.s.x"'))

    async def soon() -> int:
        await asyncio.sleep(0)
        return 1

    assert await connection.answered(soon()) == 1
    await forbidden.complained(Exception('nats: permissions violation for publish to "$js.api.stream.info.s"'))
    with pytest.raises(UsageError, match=r"stream\.info"):
        await connection.answered(asyncio.Event().wait())


async def test_a_server_that_hangs_does_not_hold_up_the_end_of_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes nothing more, and what was sent to it is more than what fits on the way. Others of its cluster may serve."""
    monkeypatch.setattr(server_connection, "_CLOSE_S", 0.1)
    ended = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "a", "version": "2.10.21", "max_payload": 1048576, "headers": true}\r\n')
        while not (await reader.readline()).startswith(b"PING"):
            pass
        writer.write(b"PONG\r\n")
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = await ServerConnection.opened(Access((url,), None), "test")
        transport = connection.client._transport._io_writer.transport  # type: ignore[union-attr]

        async def send() -> None:
            for _ in range(32):  # far more than what the kernel keeps
                await connection.client.publish("a", bytes(1 << 20))

        sending = asyncio.ensure_future(send())
        before = -1
        while not 0 < before == transport.get_write_buffer_size():  # nothing leaves any more
            before = transport.get_write_buffer_size()
            await asyncio.sleep(0.05)
        try:
            await asyncio.wait_for(connection.close(), 30)
        finally:
            sending.cancel()
            ended.set()
        assert transport.is_closing() and transport.get_write_buffer_size() == 0
