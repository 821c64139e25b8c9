"""Whether a service asks ignore files, by its settings. What reads them is loaded only if it does: most services, and every start
of them, do without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..contract.state.settings import Settings

if TYPE_CHECKING:
    from .ignore_files import IgnoreFiles


def ignore_files_of(settings: Settings, guard: Callable[[bytes], object] = lambda path: None) -> IgnoreFiles | None:
    """What the ignore files leave out with these settings; None if they are not asked. `guard`: see `IgnoreFiles`."""
    if not settings.ignore_files:
        return None
    from .ignore_files import IgnoreFiles

    return IgnoreFiles(ignoring_roots(settings), settings.git_excludes, guard=guard)


def ignoring_roots(settings: Settings) -> list[bytes]:
    """The roots in which ignore files count: not those that are there for the sake of single files."""
    return [root for root in settings.roots if root not in settings.only]
