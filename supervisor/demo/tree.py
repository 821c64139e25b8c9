"""Makes a real AST JSON tree: the running Python's standard library, parsed with `ast`, mirrored as `*.ast.json`.

Used by `shardwatch.supervisor.demo` and by tests that want a real tree; imports nothing of shardwatch.

A node is an object: `_type` is its class, then its fields, then its position (`lineno`, `col_offset`, `end_lineno`,
`end_col_offset`). Constants that JSON lacks are objects with one key that begins with `$`:

    {"$bytes": "base64"}        {"$complex": ["real", "imag"]}        {"$ellipsis": true}
    {"$int": "0x..."}           beyond 2**53, where readers that use doubles lose digits
    {"$float": "inf"}           also "-inf", "nan"
    {"$str": "base64"}          a text with lone surrogates, as UTF-8 with them passed through
"""

from __future__ import annotations

import ast
import base64
import json
import math
import os
import platform
import shutil
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

#: Grows when the layout of the tree or the encoding changes: an older tree is made anew.
FORMAT = 1
SUFFIX = ".ast.json"
#: The one deep branch: this many directories below each other, with a file in each.
DEEP_LEVELS = 20
_NOT_SOURCES = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
_EXACT_INT_MAX = 2**53
_POSITION = ("lineno", "col_offset", "end_lineno", "end_col_offset")


class Made(NamedTuple):
    """What a tree consists of."""

    files: int
    skipped: int
    bytes: int


def encode_constant(value: object) -> object:
    """A constant of Python's grammar as JSON can carry it; see the module's docstring."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"$str": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT_INT_MAX else {"$int": hex(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, complex):
        return {"$complex": [repr(value.real), repr(value.imag)]}
    if value is Ellipsis:
        return {"$ellipsis": True}
    raise TypeError(f"no constant of Python's grammar: {type(value).__name__}")


def encode_node(node: ast.AST) -> dict[str, Any]:
    """A node and all below it as plain objects."""
    out: dict[str, Any] = {"_type": type(node).__name__}
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            out[field] = encode_node(value)
        elif isinstance(value, list):
            out[field] = [encode_node(item) if isinstance(item, ast.AST) else encode_constant(item) for item in value]
        else:
            out[field] = encode_constant(value)
    for name in node._attributes:
        if name in _POSITION:
            out[name] = getattr(node, name, None)
    return out


def parse_file(source: Path) -> bytes:
    """The AST JSON of one source file. Raises SyntaxError, ValueError, RecursionError or OSError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old modules are not ours to mend
        tree = ast.parse(source.read_bytes(), filename=str(source))
    return json.dumps(encode_node(tree), separators=(",", ":"), allow_nan=False).encode()


def library() -> Path:
    """Where the running Python's standard library lies."""
    return Path(sysconfig.get_path("stdlib"))


def sources(library_dir: Path) -> Iterator[Path]:
    """Every module of the library without its test packages, as paths relative to it, in a stable order."""
    for directory, names, files in os.walk(library_dir):
        names[:] = sorted(name for name in names if name not in _NOT_SOURCES)
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(directory, name).relative_to(library_dir)


def mirrored(relative: Path) -> Path:
    """`json/tool.py` -> `json/tool.ast.json`."""
    return relative.with_name(relative.name.removesuffix(".py") + SUFFIX)


def _mirror(library_dir: Path, tree: Path, relatives: list[Path]) -> Made:
    files = skipped = size = 0
    for relative in relatives:
        try:
            content = parse_file(library_dir / relative)
        except (SyntaxError, ValueError, RecursionError, OSError):
            skipped += 1
            continue
        target = tree / mirrored(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        files += 1
        size += len(content)
    return Made(files, skipped, size)


def deep_directories(tree: Path) -> list[Path]:
    """The directories of the deep branch, outermost first."""
    found, at = [], tree / "deep"
    for level in range(1, DEEP_LEVELS + 1):
        at = at / f"level_{level:02d}"
        found.append(at)
    return found


def write_deep_file(directory: Path) -> int:
    """Writes the one file of a directory of the deep branch; gives its size."""
    directory.mkdir(parents=True, exist_ok=True)
    module = ast.parse(f'"""{directory.name}."""\nLEVEL = {int(directory.name[-2:])}\n')
    content = json.dumps(encode_node(module), separators=(",", ":")).encode()
    (directory / f"leaf{SUFFIX}").write_bytes(content)
    return len(content)


def make_tree(tree: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Made:
    """Makes the tree, unless a whole one of this Python and FORMAT is there already.

    It is built beside its place and renamed into it, and its manifest (`tree.json`, beside the tree) is written last:
    what a broken run leaves is made anew. Blocks for some seconds, with every processor at work.

    Args:
        tree: the directory to make; its parent is made too.
        progress: called with the number of source files done and of all.
    """
    manifest = tree.with_name(tree.name + ".json")
    identity = {"format": FORMAT, "python": platform.python_version()}
    try:
        known = json.loads(manifest.read_bytes())
        if tree.is_dir() and known["identity"] == identity:
            return Made(known["files"], known["skipped"], known["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    manifest.unlink(missing_ok=True)
    building = tree.with_name(f"{tree.name}.building")
    for leftover in (building, tree):
        if leftover.exists():
            shutil.rmtree(leftover)
    building.mkdir(parents=True)
    made = _build(building, progress)
    os.replace(building, tree)
    manifest.write_text(json.dumps({"identity": identity, **made._asdict()}))
    return made


def _build(tree: Path, progress: Callable[[int, int], None]) -> Made:
    library_dir = library()
    # Largest first, so that no process is left alone with a large one at the end; in pieces, for the progress.
    relatives = sorted(sources(library_dir), key=lambda r: -(library_dir / r).stat().st_size)
    pieces = [relatives[i : i + 8] for i in range(0, len(relatives), 8)]
    files = skipped = size = 0
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for made in pool.map(_mirror, [library_dir] * len(pieces), [tree] * len(pieces), pieces):
            files, skipped, size = files + made.files, skipped + made.skipped, size + made.bytes
            progress(files + skipped, len(relatives))
    for directory in deep_directories(tree):
        size += write_deep_file(directory)
    return Made(files + DEEP_LEVELS, skipped, size)
