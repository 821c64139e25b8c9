"""A git repository whose ignore files change with everything else, and what git says is left."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

from repository import git

DIRECTORIES = ("", "src", "src/deep", "out", "out/obj", "node_modules/left/src", "docs")
FILES = ("a.py", "b.o", "keep.o", "c.log", "d.txt")
LINES = (
    "*.o", "!keep.o", "/out/", "out/*", "!/out/obj/", "node_modules/", "*.log", "deep", "**/src/a.py", "docs/**", "!docs/d.txt",
)  # fmt: skip
PLACES = (".gitignore", "src/.gitignore", "out/.gitignore", "docs/.gitignore", ".git/info/exclude")


def begin(tree: Path) -> None:
    """Makes the repository, with each file in each directory."""
    git(tree, "init", "-q")
    for directory in DIRECTORIES:
        (tree / directory).mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (tree / directory / name).write_text("1")


def listed(tree: Path, what: str = "-co") -> set[bytes]:
    """What git lists: with `-co` what is tracked, and what is neither tracked nor ignored; with `-ci` what is both."""
    names = git(tree, "ls-files", what, "--exclude-standard", "--deduplicate", "-z").split(b"\0")[:-1]
    return {path for name in names if os.path.lexists(path := os.path.join(os.fsencode(tree), name))}


def change(tree: Path, dice: random.Random) -> None:
    """One random change: of a file, of a directory, or of an ignore file."""
    where = tree / dice.choice(DIRECTORIES)
    match dice.randrange(8):
        case 0 | 1 | 2:
            where.mkdir(parents=True, exist_ok=True)
            (where / dice.choice(FILES)).write_text("x" * dice.randrange(9))
        case 3:
            (where / dice.choice(FILES)).unlink(missing_ok=True)
        case 4 if where != tree:
            shutil.rmtree(where, ignore_errors=True)
        case 5:
            (tree / dice.choice(PLACES)).unlink(missing_ok=True)
        case _:
            path = tree / dice.choice(PLACES)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(dice.sample(LINES, 3)))
