"""The tree of a run, and what lies outside it for the programs that change it: archives, sources, a repository with a history."""

from __future__ import annotations

import json
import random
import shutil
import tarfile
from pathlib import Path

from repository import git

#: Files of one directory of units.
_UNITS = 20
_NOISE = ("unit.py", ".unit0.ast.json.swp", "notes.tmp")


def units(where: Path, many: int, random_: random.Random) -> None:
    """Directories of AST JSON files, `many` in all, with files beside them that the default profile leaves out."""
    for number in range(max(1, many // _UNITS)):
        directory = where / f"p{number // 10}" / f"m{number % 10}"
        if number % 3 == 0:
            directory /= "ast"
        directory.mkdir(parents=True, exist_ok=True)
        for unit in range(_UNITS):
            ending = ".json" if number % 3 == 0 else ".ast.json"
            (directory / f"unit{unit}{ending}").write_text(json.dumps({"unit": random_.randrange(10**6)}))
        for name in _NOISE:
            (directory / name).write_text("noise")


class Tree:
    """What is watched, and what is not.

    root/repo, src, vendor, synced, copies, deep, odd, hot, probe; outside/archives, source, parked, and elsewhere.json,
    the only file outside the root that links in the root lead to.
    """

    def __init__(self, base: Path, files: int, random_: random.Random) -> None:
        self.base = base
        self.root = base / "root"
        self.outside = base / "outside"
        for name in ("src", "vendor", "copies", "deep", "odd", "hot", "probe"):
            (self.root / name).mkdir(parents=True)
        for name in ("archives", "source", "parked"):
            (self.outside / name).mkdir(parents=True)
        self.elsewhere = self.outside / "elsewhere.json"
        self.elsewhere.write_text("{}")
        self.archives = [self._archive(f"lib{n}", files // 20, random_) for n in range(3)]
        units(self.root / "src", files // 2, random_)
        units(self.outside / "source", files // 10, random_)
        shutil.copytree(self.outside / "source", self.root / "synced")
        self.revisions = ("one", "two", "three")
        self._repository(files // 5, random_)

    def _archive(self, name: str, files: int, random_: random.Random) -> Path:
        units(self.outside / name, files, random_)
        path = self.outside / "archives" / f"{name}.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(self.outside / name, name)
        shutil.move(self.outside / name, self.root / "vendor" / name)
        return path

    def _repository(self, files: int, random_: random.Random) -> None:
        """Three revisions far apart: another half of the files, a directory renamed, all contents changed."""
        where = self.root / "repo"
        where.mkdir()
        git(where, "init", "-q", "-b", "main")
        units(where / "lib", files, random_)
        self._commit(where, "one")
        (where / "lib" / "p0").rename(where / "renamed")
        units(where / "more", files // 2, random_)
        for path in sorted((where / "lib").rglob("*.json")):
            path.write_text("changed in two")
        self._commit(where, "two")
        shutil.rmtree(where / "lib")
        units(where / "lib2", files, random_)
        self._commit(where, "three")
        git(where, "checkout", "-q", "one")

    @staticmethod
    def _commit(where: Path, name: str) -> None:
        git(where, "add", "-A", timeout_s=300)
        git(where, "commit", "-qm", name, timeout_s=300)
        git(where, "tag", name)
