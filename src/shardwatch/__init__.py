"""The public face of shardwatch: every name is loaded on first use, so that a shard process does not pay for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shardwatch.aggregator.client import AsyncBatch, AsyncExtractClient, Batch, Event, ExtractClient, Fresh, RequestError
    from shardwatch.aggregator.event_queue import EventQueue
    from shardwatch.shard.contract.errors import (
        InUseError,
        NotRunningError,
        ServiceError,
        ServiceTimeoutError,
        ShardwatchError,
        UsageError,
    )
    from shardwatch.supervisor.api import FileEventProcessor, RealtimeFileWatcher
    from shardwatch.supervisor.api_calls import FileEventHandler
    from shardwatch.supervisor.api_types import FileEvent, ProcessingResult, WatcherConfig, WatcherStats

__version__ = "0.1.0"

_HOME = {
    "AsyncBatch": "aggregator.client",
    "AsyncExtractClient": "aggregator.client",
    "Batch": "aggregator.client",
    "Event": "aggregator.client",
    "EventQueue": "aggregator.event_queue",
    "ExtractClient": "aggregator.client",
    "FileEvent": "supervisor.api_types",
    "FileEventHandler": "supervisor.api_calls",
    "FileEventProcessor": "supervisor.api",
    "Fresh": "aggregator.client",
    "InUseError": "shard.contract.errors",
    "NotRunningError": "shard.contract.errors",
    "ProcessingResult": "supervisor.api_types",
    "RealtimeFileWatcher": "supervisor.api",
    "RequestError": "aggregator.client",
    "ServiceError": "shard.contract.errors",
    "ServiceTimeoutError": "shard.contract.errors",
    "ShardwatchError": "shard.contract.errors",
    "UsageError": "shard.contract.errors",
    "WatcherConfig": "supervisor.api_types",
    "WatcherStats": "supervisor.api_types",
}

__all__ = [
    "AsyncBatch",
    "AsyncExtractClient",
    "Batch",
    "Event",
    "EventQueue",
    "ExtractClient",
    "FileEvent",
    "FileEventHandler",
    "FileEventProcessor",
    "Fresh",
    "InUseError",
    "NotRunningError",
    "ProcessingResult",
    "RealtimeFileWatcher",
    "RequestError",
    "ServiceError",
    "ServiceTimeoutError",
    "ShardwatchError",
    "UsageError",
    "WatcherConfig",
    "WatcherStats",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shardwatch' has no attribute {name!r}")
    value = getattr(import_module(f"shardwatch.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
