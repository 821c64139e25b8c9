"""Look at a tree and write a commented shardwatch.toml into it: what kinds of files there are, which ignore files and network
mounts, and whether the watches suffice.

Nothing is started, and a file that is there is never overwritten.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from shardwatch.shard.contract.state.settings import Settings

    from ...config.starter import Found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    meaning = "directory that is to be watched, in which the file is written (default: the working directory)"
    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help=meaning)
    parser.add_argument("--stdout", action="store_true", help="print the file, and write nothing")


def run(options: argparse.Namespace) -> int:
    from pathlib import Path

    from ...config.file import FILE_NAME
    from ...config.starter import counts, text
    from ...terminal.render import readable, write_text

    root = _root(options.path)
    file = Path(os.fsdecode(root)) / FILE_NAME
    if not options.stdout:
        _check_absent(file)
    found = look_at(root)
    if options.stdout:
        write_text(text(found))
        return 0
    _write(file, text(found).encode(), options.umask)
    lines = [f"wrote {readable(str(file))}: {counts(found)}"]
    if found.remedy:
        lines.append(f"watches do not suffice: {found.remedy}")
    lines.append("next: read it; `shardwatch plan` shows what would be watched, and `shardwatch up` starts the service")
    write_text("\n".join(lines) + "\n")
    _warn_if_unused(file)
    return 0


def _root(path: str) -> bytes:
    """The directory, absolute and without links. Raises UsageError."""
    from shardwatch.shard.contract.errors import UsageError

    from ...host.scouting import Scouts
    from ...planning.named import NOT_THERE, shown_path, unwatchable

    try:
        named = os.path.abspath(os.fsencode(path))
    except FileNotFoundError:
        hint = "change to a directory that exists, or give an absolute path"
        raise UsageError("the working directory can't be found", hint=hint) from None
    with Scouts() as scouts:
        root = scouts.real(named)
        trouble = scouts.trouble_with(root)
    if trouble:
        refusal = unwatchable(root, trouble)
        raise UsageError(refusal.message, hint="give a directory that you can read" if trouble == NOT_THERE else refusal.hint)
    if not os.path.isdir(root):
        raise UsageError(f"{shown_path(root)} is no directory", hint="give the directory that is to be watched")
    return root


def _exists(file: Path) -> Exception:
    from shardwatch.shard.contract.errors import UsageError

    from ...config.file import shown

    hint = "edit it, or move it away first; --stdout prints what would be written"
    return UsageError(f"{shown(file)} is there already, and is not overwritten", hint=hint)


def _check_absent(file: Path) -> None:
    """Raises UsageError, before anything is looked at, where the name is taken, be it by a link that leads nowhere."""
    if os.path.lexists(file):
        raise _exists(file)


def look_at(root: bytes) -> Found:
    """What the file is written from. Blocks while it reads the tree."""
    from ...config.starter import SUFFIXES_MAX, Found, include_for
    from ...host.confinement import read_confinement
    from ...planning.census import take
    from ...planning.limits import read_inotify_limits, watches_remedy
    from ...terminal.render import readable
    from .plan import on_host, plan_of

    census = take(_settings(root, ("*",)))
    suffixes = census.suffixes.most_common(SUFFIXES_MAX)
    limits = read_inotify_limits()
    plan = plan_of(_settings(root, include_for(suffixes, census.files)), limits)
    return Found(
        files=census.files,
        directories=census.directories,
        more=not census.whole,
        suffixes=suffixes,
        ignore_files=census.ignore_files,
        remote=[f"{kind} at {readable(os.fsdecode(point))}" for point, kind in census.remote],
        watched=plan.directories,
        exact=plan.exact,
        watches_allowed=limits.watches,
        watches_used=limits.watches_used,
        remedy=on_host("sudo " + watches_remedy(limits, plan.directories), read_confinement()) if plan.over_budget else "",
    )


def _settings(root: bytes, include: tuple[str, ...]) -> Settings:
    """Those of the file that is to be written."""
    from pathlib import Path

    from shardwatch.shard.contract.state.options import IGNORE_FILES, INCLUDE, ROOTS

    from ...config.resolve import resolve
    from ...planning.named import with_files

    overrides = {ROOTS.name: [os.fsdecode(root)], INCLUDE.name: list(include), IGNORE_FILES.name: True}
    return with_files(resolve(overrides=overrides, environ={}, cwd=Path("/"), search=False).settings)


def _write(file: Path, content: bytes, umask: int) -> None:
    """A new file that its group and others may read as far as the umask lets them, and never write: such a file does not count.

    Raises UsageError where somebody has just made it, OSError.
    """
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _exists(file) from None
    try:
        with open(fd, "wb") as opened:  # noqa: PTH123 - a descriptor
            opened.write(content)
            os.fchmod(fd, 0o644 & ~umask)
    except OSError as error:
        os.unlink(file)
        error.filename = file
        raise


def _warn_if_unused(file: Path) -> None:
    """Says why the file does not count for who works in its directory."""
    from ...config.file import find_config
    from ..options import warn

    found = find_config(file.parent)
    if found.path != file:
        warn(found.notes)
