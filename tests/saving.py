"""Files that are written in one step, for tests that count what is told of them."""

from __future__ import annotations

from pathlib import Path


def save(path: Path, text: str = "{}") -> Path:
    """The file is whole whenever anybody looks at it.

    A writer that is held up between `open` and `close`, on a machine with much to do, is seen twice: first with an empty file.
    The temporary name beside it must be one that nobody watches.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text)
    return temporary.replace(path)
