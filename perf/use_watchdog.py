"""watchdog's inotify observer with an event_filter: with its default mask it never comes to rest on a large tree.

`use_watchdog.py TREE`.
"""

from __future__ import annotations

import sys

from consumer import Consumer
from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

KINDS = [FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileDeletedEvent, FileMovedEvent]


class Handler(FileSystemEventHandler):
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._consumer.take((str(event.dest_path or event.src_path),))


def main(tree: str) -> None:
    consumer = Consumer()

    def follow() -> None:
        observer = Observer()
        observer.schedule(Handler(consumer), tree, recursive=True, event_filter=KINDS)
        observer.start()
        consumer.ready()
        observer.join()

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
