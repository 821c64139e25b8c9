"""Commands that documents show, run as a reader would run them: copied into a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cli_process import GUARD_S, ROOT, Command, environment
from terminal import Terminal

_SHARDWATCH = f'#!/bin/sh\nPYTHONPATH={ROOT / "src"} exec "{sys.executable}" -P -m shardwatch.supervisor.cli.main "$@"\n'


class Snippet(NamedTuple):
    """A block of code in a document, and where it is: the heading above it, and its number below that heading, from 1."""

    document: str
    heading: str
    number: int
    language: str
    text: str


def snippets(document: Path) -> Iterator[Snippet]:
    """Every block of code of a document."""
    name = os.fspath(document.relative_to(ROOT))
    heading, number = "", 0
    for found in re.finditer(r"^#+ ([^\n]+)$|^ *```(\w*)\n(.*?)^ *```$", document.read_text(), re.MULTILINE | re.DOTALL):
        if found[1]:
            heading, number = found[1], 0
        else:
            number += 1
            yield Snippet(name, heading, number, found[2], found[3])


def section(document: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its level."""
    text = document.read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"{document.name} has no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def blocks(document: Path, heading: str, language: str = "") -> list[str]:
    """The blocks of code of a language below a heading; without one they are commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section(document, heading), re.DOTALL | re.MULTILINE)
    return [text for marked, text in found if marked == language]


def sessions(block: str) -> Iterator[tuple[str, str]]:
    """Of a block with `$ ` before each command: the commands, each with what it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


class Shell:
    """A shell in which `shardwatch` and `python` are those of this checkout.

    Args:
        folder: where its commands run.
        state_dir: of the service that they start and speak to.
        environ: more of their environment.
    """

    def __init__(self, folder: Path, state_dir: Path, **environ: str) -> None:
        self.folder = folder
        #: Where programs are looked for first.
        self.programs = folder.parent / "programs"
        self.programs.mkdir()
        for name, text in (("shardwatch", _SHARDWATCH), ("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)
        path = os.pathsep.join([os.fspath(self.programs), os.path.dirname(sys.executable), os.environ["PATH"]])
        variables = {"PATH": path, "SHARDWATCH_STATE_DIR": os.fspath(state_dir), **environ}
        self._shell = ["env", *(f"{name}={value}" for name, value in variables.items()), "sh"]

    def run(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """To its end, which comes with the first command that fails."""
        done = subprocess.run(
            [*self._shell, "-e"], cwd=self.folder, env=environment(), input=script, capture_output=True, text=True,
            timeout=GUARD_S, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def begin(self, script: str) -> Command:
        """A script that is one command, which goes on; it takes the place of the shell, so that signals reach it."""
        script = f'cd "{self.folder}"\nexec {script.lstrip()}'
        return Command(command=[*self._shell, "-ec", script])

    def on_terminal(self, script: str) -> Terminal:
        """A script that is one command, on a terminal."""
        return Terminal(command=[*self._shell, "-ec", f'cd "{self.folder}"\nexec {script.lstrip()}'])
