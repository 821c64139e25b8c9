"""Trees to measure on: ten AST JSON files a directory, 100 directories side by side, as many as asked for."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import session

FILES_PER_DIRECTORY: Final = 10
_BESIDE: Final = 100
_BODY: Final = b'{"_type": "Module", "body": [], "type_ignores": []}\n'
#: A file takes at least a page of a tmpfs.
_FILE_BYTES: Final = 4096 + 1024


@dataclass(frozen=True)
class Tree:
    """`directories` below the root, which itself holds none of the files."""

    root: Path
    directories: int
    files: int
    paths: list[bytes] = field(repr=False)


def make(root: Path, files: int) -> Tree:
    """Makes the tree at `root`, which must not exist. `files` is a multiple of ten, and of a thousand above that."""
    count = files // FILES_PER_DIRECTORY
    base = os.fsencode(root)
    paths: list[bytes] = []
    for number in range(count):
        top = base + b"/pkg%04d" % (number // _BESIDE)
        directory = top if number % _BESIDE == 0 else top + b"/mod%02d" % (number % _BESIDE)
        os.makedirs(directory)
        for name in range(FILES_PER_DIRECTORY):
            path = directory + b"/unit%d.ast.json" % name
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            os.write(fd, _BODY)
            os.close(fd)
            paths.append(path)
    return Tree(root, count, len(paths), paths)


def shuffled(tree: Tree) -> Tree:
    """The same tree, its paths in a random order, which is the same each time."""
    return replace(tree, paths=random.Random(11).sample(tree.paths, tree.files))


class Forest:
    """Trees by size and place, each made once. What a suite writes into one stays a valid tree of the same names."""

    def __init__(self) -> None:
        self._places: dict[str, Path] = {}
        self._trees: dict[tuple[int, str], Tree] = {}
        #: What could not be had as asked for.
        self.notes: list[str] = []

    def tree(self, files: int, place: str = "tmpfs") -> Tree:
        """`place`: `tmpfs` or `disk`. A tmpfs that is too small is replaced by the disk."""
        key = (files, place)
        if key not in self._trees:
            self._trees[key] = make(self._place(place, files) / f"t{files}", files)
        return self._trees[key]

    def drop(self, files: int, place: str = "tmpfs") -> None:
        """Removes a large tree early."""
        tree = self._trees.pop((files, place), None)
        if tree is not None:
            shutil.rmtree(tree.root)

    def directory(self, place: str = "tmpfs") -> Path:
        """An empty directory of the caller's own."""
        return session.place(where=self._place(place, 0))

    def _place(self, place: str, files: int) -> Path:
        if place == "tmpfs" and shutil.disk_usage(session.memory()).free < files * _FILE_BYTES + (64 << 20):
            self.notes.append(f"{session.memory().parent} has no room for {files} files: on disk instead")
            place = "disk"
        if place not in self._places:
            self._places[place] = session.place(where=session.memory() if place == "tmpfs" else session.disk())
        return self._places[place]

    def close(self) -> None:
        for base in self._places.values():
            shutil.rmtree(base, ignore_errors=True)
