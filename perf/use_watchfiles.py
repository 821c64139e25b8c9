"""watchfiles with its defaults (batches of up to 1.6 s, closed by 50 ms of quiet). `use_watchfiles.py TREE`."""

from __future__ import annotations

import sys
from typing import Any

import watchfiles.main
from consumer import Consumer


def main(tree: str) -> None:
    consumer = Consumer()
    stock = watchfiles.main.RustNotify

    def announced(*arguments: Any, **more: Any) -> Any:
        """It does not say when it watches; its inner object does so in its constructor."""
        watcher = stock(*arguments, **more)
        consumer.ready()
        return watcher

    def follow() -> None:
        watchfiles.main.RustNotify = announced
        for changes in watchfiles.watch(tree, watch_filter=None):
            consumer.take([path for _, path in changes])

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
