"""Who asks until when a source is shipped, while many others do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from shardwatch.bridge.protocol.syncs import SyncRequest, decode_sync_reply, encode_sync
from shardwatch.bridge.ship.syncs import AT_A_TIME, ShipSyncs


async def test_a_sync_that_finds_no_room_within_its_time_says_so() -> None:
    """Others take all of theirs, though whoever has asked may be gone. When one of them ends, there is room."""
    waits: list[float] = []
    done = asyncio.Event()

    class Client:
        async def wait(self, group: str, timeout_s: float) -> None:
            waits.append(timeout_s)
            await done.wait()

        def close(self) -> None:
            pass

    class Source:
        last_head = SimpleNamespace(source="s", generation=1, tick=5), 9

        async def publish_head(self) -> None:
            pass

    client: Any = Client
    source: Any = Source()
    syncs = ShipSyncs(client, "g", source)
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(syncs.answer(encode_sync(SyncRequest(86_400_000)))) for _ in range(AT_A_TIME)]
        while len(waits) < AT_A_TIME:
            await asyncio.sleep(0)
        late = decode_sync_reply(await syncs.answer(encode_sync(SyncRequest(10))))
        assert late.watermark is None and late.error == f"{AT_A_TIME} syncs of this source are waited for already"
        patient = tasks.create_task(syncs.answer(encode_sync(SyncRequest(60_000))))
        await asyncio.sleep(0)
        done.set()
        for answer in (*others, patient):
            watermark = decode_sync_reply(await answer).watermark
            assert watermark is not None and watermark.sequence == 9
    assert len(waits) == AT_A_TIME + 1 and waits[-1] <= 60.0
