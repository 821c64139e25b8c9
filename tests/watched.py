"""A backend of the kernel, and directories by name that it watches."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Generic, TypeVar

from shardwatch.shard.backend.base import Backend, Hints
from shardwatch.shard.tree.nodes import Node, Top

Watching = TypeVar("Watching", bound=Backend)


class Watched(Generic[Watching]):
    """The directory `base` is the root, which is not watched yet."""

    def __init__(self, base: Path, backend: Watching) -> None:
        self.base = base
        self.backend = backend
        self.root = Top(os.fsencode(base), 0)

    def watch(self, node: Node) -> Node | None:
        fd = os.open(node.path(), os.O_RDONLY)
        try:
            return self.backend.watch(fd, node)
        finally:
            os.close(fd)

    def made(self, name: str, above: Node | None = None) -> Node:
        """A new directory, watched."""
        node = (above or self.root).adopt(os.fsencode(name))
        os.mkdir(node.path())
        assert self.watch(node) is None
        return node

    def same(self, path: Path, node: Node) -> bool:
        fd = os.open(path, os.O_RDONLY)
        try:
            return self.backend.same(fd, node)
        finally:
            os.close(fd)

    def take(self) -> Hints:
        self.backend.drain()
        return self.backend.take()

    def kernel(self) -> list[str]:
        """What the kernel watches for this process: a line for each directory, or for each filesystem."""
        lines: list[str] = []
        for fd in os.listdir("/proc/self/fdinfo"):
            with contextlib.suppress(FileNotFoundError):  # that of the listing itself
                lines += Path("/proc/self/fdinfo", fd).read_text().splitlines()
        return sorted(line for line in lines if line.startswith(("inotify wd:", "fanotify sdev:")))
