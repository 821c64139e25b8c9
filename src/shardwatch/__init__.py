"""The public interface of shardwatch. Each name is loaded on first use, so that a shard process does
not load any of them. Nor is `typing` loaded here: a command that is interrupted meanwhile shows Python's traceback.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shardwatch.aggregator.client.asynchronous import AsyncBatch, AsyncExtractClient
    from shardwatch.aggregator.client.blocking import Batch, ExtractClient
    from shardwatch.aggregator.client.changes import ChangesSince
    from shardwatch.aggregator.client.dead import DeadLetter
    from shardwatch.aggregator.client.replies import RequestError
    from shardwatch.aggregator.protocol.messages import Event, Fresh
    from shardwatch.aggregator.queue.event_queue import EventQueue
    from shardwatch.shard.contract.errors import (
        InUseError,
        NotRunningError,
        ServiceError,
        ServiceTimeoutError,
        ShardwatchError,
        UsageError,
    )
    from shardwatch.shard.contract.version import __version__
    from shardwatch.supervisor.api.calls import FileEventHandler
    from shardwatch.supervisor.api.types import FileEvent, ProcessingResult, WatcherConfig, WatcherStats
    from shardwatch.supervisor.api.watcher import FileEventProcessor, RealtimeFileWatcher
    from shardwatch.supervisor.explanation.explain import Explanation, explain
    from shardwatch.supervisor.search.find import FoundFile, find

_HOME = {
    "AsyncBatch": "aggregator.client.asynchronous",
    "AsyncExtractClient": "aggregator.client.asynchronous",
    "Batch": "aggregator.client.blocking",
    "ChangesSince": "aggregator.client.changes",
    "DeadLetter": "aggregator.client.dead",
    "Event": "aggregator.protocol.messages",
    "EventQueue": "aggregator.queue.event_queue",
    "Explanation": "supervisor.explanation.explain",
    "ExtractClient": "aggregator.client.blocking",
    "FileEvent": "supervisor.api.types",
    "FileEventHandler": "supervisor.api.calls",
    "FileEventProcessor": "supervisor.api.watcher",
    "FoundFile": "supervisor.search.find",
    "Fresh": "aggregator.protocol.messages",
    "InUseError": "shard.contract.errors",
    "NotRunningError": "shard.contract.errors",
    "ProcessingResult": "supervisor.api.types",
    "RealtimeFileWatcher": "supervisor.api.watcher",
    "RequestError": "aggregator.client.replies",
    "ServiceError": "shard.contract.errors",
    "ServiceTimeoutError": "shard.contract.errors",
    "ShardwatchError": "shard.contract.errors",
    "UsageError": "shard.contract.errors",
    "WatcherConfig": "supervisor.api.types",
    "WatcherStats": "supervisor.api.types",
    "__version__": "shard.contract.version",
    "explain": "supervisor.explanation.explain",
    "find": "supervisor.search.find",
}

__all__ = [
    "AsyncBatch",
    "AsyncExtractClient",
    "Batch",
    "ChangesSince",
    "DeadLetter",
    "Event",
    "EventQueue",
    "Explanation",
    "ExtractClient",
    "FileEvent",
    "FileEventHandler",
    "FileEventProcessor",
    "FoundFile",
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
    "explain",
    "find",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'shardwatch' has no attribute {name!r}")
    value = getattr(import_module(f"shardwatch.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
