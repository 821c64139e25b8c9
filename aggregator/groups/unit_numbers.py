"""The numbers of a group's units, none of which is given twice. Pure."""

from __future__ import annotations

from typing import Final

from .journal import GroupChanged, Journal

#: Numbers of units that are reserved at a time: the group's row is written once for so many leases. After a restart the numbers
#: go on behind those that were reserved, so that none is given twice.
NUMBERS_RESERVED: Final = 100


class UnitNumbers:
    """Gives them, in ascending order.

    Args:
        journal: of the group; a reservation is left there.
        next_number: of the next unit. It was never given, and no later one.
    """

    def __init__(self, journal: Journal, next_number: int) -> None:
        self._journal = journal
        self.next = next_number
        #: What is stored as the next number. None of this or a later one has been given.
        self.reserved = next_number

    def take(self) -> int:
        """A number that no unit has had."""
        self.next += 1
        if self.next > self.reserved:
            self.reserved = self.next + NUMBERS_RESERVED
            self._journal.note(GroupChanged())
        return self.next - 1
