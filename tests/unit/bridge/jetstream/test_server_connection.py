"""What is forbidden, and what may be: a server complains beside, and does not answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from nats.aio.client import Client

from shardwatch.bridge.jetstream import server_connection
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
