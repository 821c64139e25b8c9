"""Random changes of a tree: whatever programs do to files and directories, by one path of it or by several."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

#: Names of files that are watched, and one that is not.
_FILES = ("a.json", "b.json", "ü.json", "new\nline.json", "noise.txt")
_DIRECTORIES = ("d", "e", "long name", "-rf")
#: Directories of the tree at most: a new one takes the place of another.
_DIRECTORIES_MAX = 40


class RandomChanges:
    """Changes a tree, the same way for the same seed.

    Args:
        seed: of the random numbers.
        places: paths of the tree; each change is made by one of them. What is there is seen by the last.
    """

    def __init__(self, seed: int, *places: Path) -> None:
        self._dice = random.Random(seed)
        self._places = places
        self._changes: tuple[Callable[[], None], ...] = (
            self._write, self._write, self._append, self._truncate, self._save, self._unlink, self._rename, self._chmod,
            self._symlink, self._make_deep, self._make_deep, self._rename_directory, self._remove_directory,
        )  # fmt: skip

    def make(self, count: int) -> None:
        """So many changes, one after the other."""
        for _ in range(count):
            self._dice.choice(self._changes)()

    def _at(self, relative: str) -> Path:
        return self._dice.choice(self._places) / relative

    def _directories(self) -> list[str]:
        top = self._places[-1]
        found = [os.path.relpath(above, top) for above, _, _ in os.walk(top)]
        return sorted(found)

    def _files(self) -> list[str]:
        top = self._places[-1]
        found = [
            os.path.relpath(os.path.join(above, name), top)
            for above, _, names in os.walk(top) for name in names if not os.path.islink(os.path.join(above, name))
        ]  # fmt: skip
        return sorted(found)

    def _new(self) -> Path:
        """A place for a file, which may be there."""
        return self._at(os.path.join(self._dice.choice(self._directories()), self._dice.choice(_FILES)))

    def _old(self) -> Path:
        """A file that is there, or is made now."""
        found = self._files()
        if found:
            return self._at(self._dice.choice(found))
        path = self._new()
        self._put(path)
        return path

    def _put(self, path: Path) -> None:
        if path.is_symlink():
            path.unlink()
        path.write_text("x" * self._dice.randrange(50))

    def _write(self) -> None:
        self._put(self._new())

    def _append(self) -> None:
        with self._old().open("a") as file:
            file.write("more")

    def _truncate(self) -> None:
        os.truncate(self._old(), self._dice.randrange(20))

    def _save(self) -> None:
        """As an editor does: beside it, then over it."""
        path = self._new()
        beside = path.with_name("saved.tmp")
        beside.write_text("y" * self._dice.randrange(50))
        beside.replace(path)

    def _unlink(self) -> None:
        self._old().unlink()

    def _rename(self) -> None:
        path = self._old()
        path.replace(path.with_name(self._dice.choice(_FILES)))

    def _chmod(self) -> None:
        self._old().chmod(self._dice.choice((0o600, 0o644)))

    def _symlink(self) -> None:
        path = self._new()
        path.unlink(missing_ok=True)
        path.symlink_to(self._dice.choice(("a.json", "nowhere", "..")))

    def _make_deep(self) -> None:
        """Some directories at once, with files in them at once."""
        directories = self._directories()
        if len(directories) > _DIRECTORIES_MAX:
            self._remove_directory()
            return
        names = self._dice.sample(_DIRECTORIES, self._dice.randrange(1, 4))
        path = self._at(os.path.join(self._dice.choice(directories), *names))
        path.mkdir(parents=True, exist_ok=True)
        for name in self._dice.sample(_FILES, 2):
            self._put(path / name)

    def _rename_directory(self) -> None:
        """To a place that is free, not below itself; and written to at once."""
        directories = self._directories()
        relative = self._dice.choice(directories)
        target = os.path.normpath(os.path.join(self._dice.choice(directories), self._dice.choice(_DIRECTORIES)))
        if relative == "." or target in directories or target.startswith(relative + os.sep):
            self._write()
            return
        place = self._dice.choice(self._places)
        (place / relative).rename(place / target)
        self._put(place / target / self._dice.choice(_FILES))

    def _remove_directory(self) -> None:
        relative = self._dice.choice(self._directories())
        if relative != ".":
            shutil.rmtree(self._at(relative))
