"""When work that comes back again and again is due. Pure: the clock is passed in, ns."""

from __future__ import annotations


class Recurring:
    """One kind of such work. It is never begun twice at the same time."""

    def __init__(self) -> None:
        self._at = 0
        self._running = False

    def due(self, now: int) -> bool:
        """Whether it is to begin now."""
        return not self._running and now >= self._at

    def next_due(self) -> int | None:
        """When it is to begin; None while it runs."""
        return None if self._running else self._at

    def begin(self) -> None:
        """It runs from now on, until `end`."""
        self._running = True

    def end(self, again_at: int) -> None:
        """It has run, and is due again at that time."""
        self._running = False
        self._at = again_at

    def put_off(self, until: int) -> None:
        """It is due at that time."""
        self._at = until

    def drop(self) -> None:
        """What ran is given up; it is due when it was."""
        self._running = False


class Timetable:
    """The work of a shard that comes back, each kind by itself."""

    def __init__(self) -> None:
        #: The identities of the anchors, and the table of mounts, are compared.
        self.anchors = Recurring()
        #: What could not be read is tried again.
        self.doubts = Recurring()
        #: Links that a bound had left out are followed, if there is room.
        self.links = Recurring()
        #: Directories with hints about names that are not there are listed.
        self.unlinked = Recurring()
        #: Everything is scanned, since the backend may lose hints without a word.
        self.audit = Recurring()
        #: What has no watch is looked at.
        self.sweep = Recurring()
        #: What has no watch for want of them gets one, if there is room.
        self.room = Recurring()

    def drop(self) -> None:
        """Whatever runs is given up."""
        for work in (self.doubts, self.unlinked, self.sweep, self.room):
            work.drop()
