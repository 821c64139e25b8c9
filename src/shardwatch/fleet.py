"""What extract workers on any machine receive the changes of a fleet with (docs/fleet.md). Needs `shardwatch[nats]`."""

from __future__ import annotations

from shardwatch.bridge.fleet.asynchronous import AsyncFleetBatch, AsyncFleetClient
from shardwatch.bridge.fleet.blocking import FleetBatch, FleetClient
from shardwatch.bridge.fleet.course import FleetFresh
from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.store import AsyncFleetStore, FleetPosition, FleetStore, Kept, PathKnown, SourceStanding
from shardwatch.bridge.protocol.bodies import End, PathState
from shardwatch.bridge.protocol.syncs import Watermark

__all__ = [
    "AsyncFleetBatch",
    "AsyncFleetClient",
    "AsyncFleetStore",
    "End",
    "FleetBatch",
    "FleetClient",
    "FleetFresh",
    "FleetPosition",
    "FleetStore",
    "Kept",
    "PathKnown",
    "PathState",
    "SourceStanding",
    "SqliteFleetStore",
    "Watermark",
]
