"""Who has missed something has everything told again: once for all who ask meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace

from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
from shardwatch.bridge.protocol.generations import Progress, Target
from shardwatch.bridge.ship.listings import ShipListings
from shardwatch.bridge.ship.source import ShippedSource
from shardwatch.shard.contract.errors import NotRunningError


class Service:
    """A service whose group is begun anew, or that is away."""

    def __init__(self) -> None:
        self.resets: list[str] = []
        self.is_away = False

    async def reset(self, group: str) -> None:
        if self.is_away:
            raise NotRunningError("away", hint="wait")
        self.resets.append(group)

    def close(self) -> None:
        """Of a connection."""


def listings(service: Service) -> tuple[ShipListings, Any]:
    """With a source whose generation 5 is complete."""
    source = SimpleNamespace(
        progress=Progress("s", Target("a", "b", "c", "g"), generation=5, base=1, complete=True), is_overtaken=False
    )
    made = ShipListings(lambda: cast("AsyncExtractClient", service), "g", cast("ShippedSource", source))
    return made, source


async def test_one_generation_is_for_all_who_ask() -> None:
    """Nothing begins for who asks late, nor before the last one is complete."""
    service = Service()
    asked, source = listings(service)
    assert (await asked.answer(4)).generation == 5 and not service.resets
    for _ in range(3):
        reply = await asked.answer(5)
        assert reply.is_coming and reply.generation == 0 and reply.error
    assert service.resets == ["g"]
    source.progress = replace(source.progress, base=0, generation=6, complete=False)
    assert (await asked.answer(5)).is_coming, "its head is not there yet"
    source.progress = replace(source.progress, base=9)
    assert (await asked.answer(5)).generation == 6
    assert (await asked.answer(6)).is_coming and service.resets == ["g"], "it has to be complete first"
    source.progress = replace(source.progress, complete=True)
    assert (await asked.answer(6)).is_coming and service.resets == ["g", "g"]


async def test_a_stream_that_keeps_no_whole_generation_gets_no_further_one() -> None:
    """Otherwise everything would be told again without end."""
    service = Service()
    asked, source = listings(service)
    source.is_overtaken = True
    reply = await asked.answer(5)
    assert "keeps less" in reply.error and "max_age" in reply.remedy
    assert not reply.is_coming and not service.resets


async def test_who_asks_while_the_service_is_away_asks_again() -> None:
    service = Service()
    asked, _ = listings(service)
    service.is_away = True
    assert (await asked.answer(5)).remedy == "wait"
    service.is_away = False
    assert (await asked.answer(5)).is_coming and service.resets == ["g"]
