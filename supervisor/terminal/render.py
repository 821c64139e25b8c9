"""Text for people: event lines, tables, sizes. Does no input or output. JSON output does not pass through here.

Colours are a few escape codes, used only if the caller has found a terminal. rich is used for the progress bar
(`Scanning`) alone, and imported only then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from shardwatch.shard.contract.input.visible import readable as readable
from shardwatch.shard.contract.input.visible import width

_COLOURS = {
    "created": "32",
    "modified": "33",
    "deleted": "31",
    "moved": "36",
    "fresh": "35",
    "warning": "33",
    "error": "31",
}


def wants_colour(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether escape codes belong on `stream`: a terminal that is not dumb, and no NO_COLOR."""
    if stream is None or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def event_line(event: Mapping[str, Any], *, colour: bool = False) -> str:
    """One line without its newline: what happened, where, and the size where there is one."""
    kind = str(event.get("type"))
    if kind == "fresh":
        text = "drop what you know, every file follows as created"
        return f"{_paint('fresh', 9, colour)} {text} ({readable(str(event.get('reason', '')))})"
    if kind == "settled":
        return f"{_paint('settled', 9, colour)} that was all of what was held back"
    if kind == "status":
        return status_line(event, colour=colour)
    what = str(event["event_type"])
    path = readable(event["path"])
    if event.get("is_directory"):
        path += "/"
    if what == "moved" and event.get("moved_from"):
        path = f"{readable(event['moved_from'])} -> {path}"
    size = event.get("size")
    tail = f"  {size_of(size)}" if isinstance(size, int) and not event.get("is_directory") else ""
    return f"{_paint(what, 9, colour)} {path}{tail}"


def status_line(status: Mapping[str, Any], *, colour: bool = False) -> str:
    """A trouble line: level, message, and the remedy after an arrow."""
    remedy = f"  -> {readable(str(status['remedy']))}" if status.get("remedy") else ""
    return f"{_paint(str(status['level']), 9, colour)} {readable(str(status['message']))}{remedy}"


def _paint(word: str, width: int, colour: bool) -> str:
    padded = f"{word:<{width}}"
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{padded}\x1b[0m" if colour and code else padded


def size_of(count: int) -> str:
    """Bytes for people: 17 B, 4.2 kB, 1.0 MB."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def number(value: object) -> str:
    """1234567 as 1,234,567; anything that is no integer as it is."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def counted(value: int, noun: str) -> str:
    """`1 file`, `2 files`, `3 directories`."""
    if value == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith(("s", "x", "ch")) else "s")
    return f"{value:,} {plural}"


def duration(seconds: float) -> str:
    """12 s, 3 min, 5 h, 2 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, numbers to the right; a header line; ends with a newline. Empty without rows."""
    if not rows:
        return ""
    texts = [[readable(number(cell)) for cell in row] for row in rows]
    numeric = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(header))]
    widths = [max(len(header[i]), *(width(row[i]) for row in texts)) for i in range(len(header))]
    lines = []
    for row in [list(header), *texts]:
        blanks = [" " * (w - width(cell)) for cell, w in zip(row, widths, strict=True)]
        cells = [b + c if right else c + b for c, b, right in zip(row, blanks, numeric, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def banner(ready: Mapping[str, Any], *, state_dir: str, resumed: bool) -> str:
    """What `watch` prints when it is ready; ends with a newline."""
    roots = [readable(r) for r in ready["roots"]]
    shown = roots if len(roots) <= 4 else [*roots[:3], f"and {len(roots) - 3} more"]
    lines = [
        f"{'resumed' if resumed else 'watching'}  " + "\n          ".join(shown),
        f"tree      {banner_line(ready, ready['ready_s'])}",
        f"filter    {readable(ready['filter'])}",
        f"state     {readable(state_dir)}",
    ]
    return "\n".join(lines) + "\n"


def banner_line(ready: Mapping[str, Any], ready_s: float) -> str:
    """What is watched, in one line."""
    return (
        f"{counted(int(ready['files']), 'file')} in {counted(int(ready['directories']), 'directory')}, "
        f"{counted(int(ready['shards']), 'shard')}, backend {ready['backend']}, ready in {ready_s:.2f} s"
    )


class Scanning:
    """The progress bar on a terminal while the baseline is made (rich); does nothing where `stream` is no terminal."""

    def __init__(self, stream: TextIO | None) -> None:
        self._progress: Any = None
        #: Whether there is a bar to feed.
        self.shown = wants_colour(stream)
        if not self.shown:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("scanning"),
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=None)

    def show(self, progress: Mapping[str, Any]) -> None:
        """`progress`: what the engine reports before it is ready: files, directories, shards, shards_ready."""
        if self._progress is None:
            return
        text = f"{counted(int(progress.get('files') or 0), 'file')}, "
        text += counted(int(progress.get("directories") or 0), "directory")
        shards, done = int(progress.get("shards") or 0), int(progress.get("shards_ready") or 0)
        if shards:
            text += f", {done} of {counted(shards, 'shard')} done"
        self._progress.update(self._task, description=text, total=shards or None, completed=done)
        self._progress.refresh()

    def close(self) -> None:
        """Removes the bar. Idempotent."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def write_text(text: str) -> None:
    """Writes to standard output and flushes; BrokenPipeError where nobody reads it, OSError where it is full."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise
