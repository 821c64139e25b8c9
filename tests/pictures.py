"""Pictures of a terminal for the documents. A test whose output is shown draws it when SW_PICTURES names a folder:

    SW_PICTURES=docs/pictures .venv/bin/python -m pytest -n0 tests/integration/test_demo.py
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

#: A picture in a document fetches nothing: Rich would have a font loaded from another host.
_FORMAT = CONSOLE_SVG_FORMAT[: CONSOLE_SVG_FORMAT.index("@font-face")] + CONSOLE_SVG_FORMAT[
    CONSOLE_SVG_FORMAT.index(".{unique_id}-matrix") :
].replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


def draw(name: str, command: str, output: str) -> None:
    """Writes `NAME.svg` with a command and what it printed, if a folder for pictures is given."""
    if directory := os.environ.get("SW_PICTURES"):
        svg = terminal(command, output)
        assert not re.findall(r"(?:src|href|url)\W+http", svg)
        (Path(directory) / f"{name}.svg").write_text(svg)


def terminal(command: str, output: str) -> str:
    """A terminal in which a command was typed, as SVG. The width is that of the longest line."""
    width = max(len(line) for line in [command, *output.splitlines()]) + 2
    console = Console(record=True, width=width, file=io.StringIO(), color_system=None)
    console.print(Text(f"$ {command}", style="bold green"))
    for line in output.splitlines():
        text = Text(line)
        text.highlight_regex(r"^\d\. .*", "bold")
        text.highlight_regex(r"^ +\d+ ms", "cyan")
        text.highlight_regex(r"\bcreated\b", "green")
        text.highlight_regex(r"\bmodified\b", "yellow")
        text.highlight_regex(r"\bdeleted\b", "red")
        text.highlight_regex(r"\bmoved\b", "magenta")
        console.print(text, soft_wrap=True)
    return console.export_svg(title=command, code_format=_FORMAT, unique_id="terminal")
