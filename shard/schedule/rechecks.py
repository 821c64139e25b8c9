"""Looks that no hint asks for, at what was looked at before: once more where a look was racy, and the verification.

They are made only while no look that follows a hint is waiting, because their results are sent later than those of looks that
were made before, and must not be older.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ..backend.base import Hints
from ..contract.files.identity import RACY_NS_MAX
from ..contract.wire.frames import Verifying
from ..territory.territory import Steps, Territory
from ..territory.verify import Range, Verifier, confirm
from ..tree.nodes import Node
from .debounce import Debounce

#: A racy look is followed by another after so long; the second in excess is for system calls that take their time.
_SECOND_LOOK_NS: Final = RACY_NS_MAX + 1_000_000_000


class Rechecks:
    """Owned by one thread.

    Args:
        debounce: the names that had a hint, and are not looked at for it yet.
        beside: single looks, which are made beside the scans: those that follow from what the verification finds.
        verifier: None where there is no verification.
        rests: takes in all hints that there are by now, and returns whether no look waits to be made then.
        busy: whether something is under way that goes before the verification. It is told the time.
        owes: whether hints were lost, and the rescan for them has not begun.
        clock: monotonic, ns.
    """

    def __init__(
        self,
        territory: Territory,
        debounce: Debounce[Node],
        beside: deque[Steps],
        verifier: Verifier | None,
        *,
        rests: Callable[[], bool],
        busy: Callable[[int], bool],
        owes: Callable[[], bool],
        clock: Callable[[], int],
    ) -> None:
        self._territory = territory
        self._debounce = debounce
        self._beside = beside
        self._verifier = verifier
        self._rests = rests
        self._busy = busy
        self._owes = owes
        self._clock = clock
        #: Names that must be looked at once more, when their last look cannot be racy any more.
        self._second_looks: Debounce[Node] = Debounce(_SECOND_LOOK_NS, _SECOND_LOOK_NS)
        #: Whether the verification goes on: not before the baseline is done.
        self._begun = False

    @property
    def verifying(self) -> Verifying:
        """How far the verification has come."""
        return Verifying() if self._verifier is None else self._verifier.state()

    def clear(self) -> None:
        """Forgets everything, for a new epoch, until `begin`."""
        self._second_looks.flush()
        self._begun = False

    def begin(self) -> None:
        """The baseline is done: the first pass of the verification follows."""
        self._begun = True
        if self._verifier is not None:
            self._verifier.begin(self._clock())

    def hinted(self, hints: Hints) -> None:
        """What these hints tell of is changing, which is no finding of the verification."""
        if self._verifier is not None:
            self._verifier.hinted(hints)

    def check_again(self, range_: Range) -> None:
        """The aggregator's rows of this range of names differ from what the verification saw. It asks again until it is told
        more."""
        if self._verifier is not None and not self._owes():
            self._verifier.ask(range_, self._clock(), self._debounce.pending)

    def note_racy(self, now: int) -> None:
        """Takes over the names whose looks were racy."""
        self._second_looks.add(now, self._territory.racy.take())

    def next_due(self) -> int | None:
        """When there is something to do, if no look is waiting then; None: never, by itself."""
        second = self._second_looks.next_due()
        verified = self._verifier.next_due() if self._verifier is not None and self._begun else None
        if second is None or verified is None:
            return verified if second is None else second
        return min(second, verified)

    def work(self, now: int) -> None:
        """Makes the looks that are due. To be called only while no look that follows a hint is waiting.

        Where hints were lost, an equal stat does not confirm a racy one: the hint of a change in between may be among them.
        """
        due = self._second_looks.due(now)
        if due and self._rests() and not self._owes():
            for node, names in due.items():
                changing = self._debounce.pending(node)
                if names is not None and changing is not None:
                    confirm(self._territory, node, names - changing)
        if self._verifier is not None and self._begun:
            self._verify(self._verifier, now)

    def _verify(self, verifier: Verifier, now: int) -> None:
        if verifier.suspects_due(now) and self._rests():
            verifier.resolve_suspects(now, self._rests)
            self._beside.extend(verifier.take_looks())
        if verifier.due(now) and not (self._busy(now) and verifier.postpone(now)):
            verifier.step(now)
