"""What was mounted and unmounted inside the anchors since the last time, as hints."""

from __future__ import annotations

import os

from ..backend.base import Arrival
from ..disk.mounts import Mounts
from ..territory.mounted_files import MountedFiles
from ..territory.territory import Territory
from .arrivals import Arrivals


class MountChanges:
    """Owned by one thread.

    Args:
        mounts: None where no table of mounts is read; nothing ever changes then.
        arrivals: take the hints.
    """

    def __init__(self, territory: Territory, mounts: Mounts | None, arrivals: Arrivals) -> None:
        self._territory = territory
        self._mounts = mounts
        self._arrivals = arrivals
        self._files = MountedFiles(territory)

    def report(self) -> None:
        """Hints at what was mounted or unmounted, and at mounted files whose stat is another one.

        A mount point is looked at like a directory that has appeared. A change at an anchor itself, or above it, is no matter of
        this class: it shows in the anchor's identity.
        """
        if self._mounts is None:
            return
        changed = self._mounts.take_changes()
        if changed:
            self._territory.reader.filesystems.forget()
            for inside in self._territory.links.ways.inside(changed):  # before `over`, which takes ways apart
                self._arrivals.hint(*inside, Arrival.CAME)
            for link in self._territory.links.ways.over(changed):
                self._arrivals.hint(*link)
        for point in changed - {b"/"}:  # that is no name in any directory
            above, name = os.path.split(point)
            for place in self._territory.places:
                node = place.find(above)
                if node is not None:
                    self._arrivals.hint(node, name, Arrival.CAME)
        for file in self._files.changed(self._mounts.mounted()):
            self._arrivals.hint(*file)
