"""The paths that the user has named: directories, single files, and paths that do not exist yet."""

from __future__ import annotations

import os

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.kernel.scout import NOT_THERE
from shardwatch.shard.contract.state.settings import Settings

from ..host.scouting import IN_STATE_DIRECTORY, NEVER_SEEN, NO_ANSWER, Scouts

__all__ = [
    "IN_STATE_DIRECTORY", "NEVER_SEEN", "NOT_THERE", "is_refused", "is_waited_for", "shown_path", "trouble_with", "unwatchable",
    "what_becomes", "with_files",
]  # fmt: skip


def with_files(settings: Settings, before: Settings | None = None) -> Settings:
    """The settings for the engine: of what was named, files become `files`, and what has to be watched for them `roots`. With
    `ignore_files`, git is asked where its global excludes file is.

    What is not there may become either, and is waited for as both, with `wait_for_roots`; or it is what it was before. So is
    what lies on a filesystem that does not answer.

    Args:
        settings: as the configuration gives them: all that was named is in `roots`.
        before: those of the state directory's last service.
    """
    roots: list[bytes] = []
    files: list[bytes] = []
    with Scouts() as scouts:
        kinds = {path: scouts.is_file(path) for path in settings.roots}
    for path, is_file in kinds.items():
        known = before is not None and path in before.files
        waited_for = is_file is None and settings.wait_for_roots
        if is_file or (is_file is None and (known or waited_for)):
            files.append(path)
        if is_file is False or (is_file is None and (not known or waited_for or (before is not None and path in before.roots))):
            roots.append(path)
    only: list[bytes] = []
    if files:
        filter = Filter(settings.include, settings.exclude)
        directories = dict.fromkeys(os.path.dirname(path) for path in files)
        only += [at for at in directories if not _is_reached(at, roots, filter, recursive=settings.recursive)]
    excludes = _git_excludes() if settings.ignore_files else b""
    return msgspec.structs.replace(
        settings, roots=(*roots, *only), files=tuple(files), only=tuple(only), git_excludes=excludes
    )


def _git_excludes() -> bytes:
    from ..host.git_excludes import git_excludes  # most services do without it

    return git_excludes()


def _is_reached(directory: bytes, roots: list[bytes], filter: Filter, *, recursive: bool) -> bool:
    """Whether the nearest root above, or at, a directory has it watched."""
    above = Nearest(roots).of(directory)
    if above is None:
        return False
    relative = directory[len(above) :].lstrip(b"/")
    return not relative or (recursive and not filter.prunes(relative))


def trouble_with(path: bytes) -> str:
    """Why what was named can't be watched; "" if it can. Waits for a filesystem that may hang for some seconds at most."""
    with Scouts() as scouts:
        return scouts.trouble_with(path)


def is_refused(trouble: str) -> bool:
    """Whether waiting does not help: a path with this trouble is refused even if it was watched before."""
    return trouble == IN_STATE_DIRECTORY or trouble.startswith(NEVER_SEEN)


def is_waited_for(path: bytes, trouble: str, settings: Settings) -> bool:
    """Whether a path that was named, and that has this trouble, is waited for although it was never watched before."""
    return trouble == NOT_THERE and (settings.wait_for_roots or path in settings.files)


def unwatchable(path: bytes, trouble: str) -> UsageError:
    """The error for a path that was named, and that can neither be watched nor waited for."""
    hint = "give a directory or a file that you can read"
    if trouble == NOT_THERE:
        hint += ", or set wait_for_roots, as `up --wait-for-roots` does"
    elif trouble == IN_STATE_DIRECTORY:
        hint = "give a directory or a file outside of it; `shardwatch logs --follow` shows what a service logs"
    elif trouble.startswith(NEVER_SEEN):
        hint = "give a directory or a file on another filesystem"
    elif trouble.startswith(NO_ANSWER):
        hint = "see to the server of that mount, or unmount it (umount -l)"
    return UsageError(f"root {shown_path(path)} {trouble}", hint=hint)


def what_becomes(root: bytes, settings: Settings) -> str:
    """What becomes of the files of a root that these settings do not name any more, for a message. Pure.

    Other roots may lie above it or below it: their files are still watched, as they keep them.
    """
    gone = "forgotten, without events" if settings.forget_left_out else "reported as deleted"
    above = Nearest(path for path in settings.roots if path not in settings.only).of(root)
    if above is not None:
        return f"its files are watched as those of {shown_path(above)}, and what is out of scope there is {gone}"
    inside = Nearest([root])
    if any(inside.of(path) for path in settings.named()):
        return f"its files are {gone}, but for those of roots in it"
    return f"its files are {gone}"


def shown_path(path: bytes) -> str:
    """A path as messages show it: in one line, whatever is in its name."""
    text = path.decode(errors="replace")
    return text if text.isprintable() else ascii(text)
