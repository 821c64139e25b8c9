"""Leads a watcher from one plan to the next, while the shard runs: what it has to get ready for, to let go and to take on.

Before the plan is exchanged, the shards that it gives subtrees to watch these already and look at them once, while their
owners go on telling of them. So there is no time in which nobody watches.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..contract.state.planfile import Anchor, PartChange
from ..contract.wire.frames import TakingOn
from ..stream.send import Stream
from ..territory.again import look_again
from ..territory.looking import look
from ..territory.passing_on import pass_on, watch_in_advance, watch_no_more
from ..territory.territory import Steps, Territory
from .baselines import Baselines
from .scans import Scans
from .sync_answers import SyncAnswers

_NOTHING: Final = TakingOn()


class Handover:
    """Owned by one thread.

    Args:
        beside: single looks, which are made beside the scans.
        answers: of syncs, which are given anew under another plan.

    Attributes:
        passes_on: whether another plan waits for its turn.
        taking_on: what is watched in advance, and how far that is, as a beat tells it.
    """

    def __init__(
        self,
        territory: Territory,
        stream: Stream,
        scans: Scans,
        beside: deque[Steps],
        answers: SyncAnswers,
        baselines: Baselines,
    ) -> None:
        self._territory = territory
        self._stream = stream
        self._scans = scans
        self._beside = beside
        self._answers = answers
        self._baselines = baselines
        self.passes_on = False
        self.taking_on = _NOTHING

    def clear(self) -> None:
        """A new epoch forgets what was not done. It is to be asked for again."""
        self.passes_on = False
        self.taking_on = _NOTHING
        watch_no_more(self._territory)

    def get_ready(self, generation: int, anchors: tuple[Anchor, ...], stops: frozenset[bytes]) -> None:
        """Has these subtrees watched in advance, and no others, after the scans that wait by now.

        Args:
            generation: of the plan that gives them to this shard; 0, with no subtrees: there is no such plan any more.
            anchors: of these subtrees.
            stops: every anchor of that plan.
        """
        self.taking_on = TakingOn(generation, len(anchors), "looking" if anchors else "")
        self._scans.append(self._get_ready(generation, anchors, stops))

    def _get_ready(self, generation: int, anchors: tuple[Anchor, ...], stops: frozenset[bytes]) -> Steps:
        """Ends early where something else is to be got ready for, or the plan was exchanged: then all is scanned anyway."""
        territory = self._territory
        for place in watch_in_advance(territory, anchors, stops):
            for _ in self._scans.scan(place):
                if self.passes_on or self.taking_on.generation != generation:
                    return
                yield
        if not anchors:
            return
        if self._wants_watches():
            watch_no_more(territory)
            self.taking_on = TakingOn(generation, len(anchors), "no watches left")
            return
        territory.heirs.note_changes()
        self.taking_on = TakingOn(generation, len(anchors), "ready")

    def _wants_watches(self) -> bool:
        """Whether there was no watch for a directory in these places: their owner has those that are wanted."""
        swept, indexes = self._territory.directories.swept, self._territory.heirs.indexes
        return swept.wanting > 0 and any(node.anchor in indexes for node in swept.those_wanting())

    def go_by(self, generation: int, change: PartChange, stops: frozenset[bytes]) -> None:
        """Goes on with another plan, after the scans that wait by now; then the stream has its generation. What is kept is not
        looked at again. What is given to this shard is scanned, and then a baseline is reported once more. A new epoch forgets
        this until it was done (`passes_on`), and it is to be asked again.

        Where changes were seen in what was watched in advance, that is looked at first.

        Args:
            generation: of the other plan.
            change: what is to be let go, and taken on (`part_change`).
            stops: every anchor of that plan.
        """
        self.passes_on = True
        self._scans.append(self._pass_on(generation, change, stops), held=False)

    def _pass_on(self, generation: int, change: PartChange, stops: frozenset[bytes]) -> Steps:
        self.passes_on = False
        self.taking_on = _NOTHING
        territory = self._territory
        self._stream.go_by(generation)
        self._answers.begin_anew()
        noted, silent = territory.heirs.noted(), territory.heirs.places
        new = pass_on(territory, change, stops)
        territory.files = max(0, territory.files - sum(anchor.files for anchor in (*change.left, *change.cut)))
        for directory, names in noted:
            owner = territory.owner_of(directory)
            if owner is not None and owner in new:
                self._beside.append(look_again(territory, owner, directory, names))
        for place in new:
            if place.node is not None and place not in silent:  # what was hinted of its directory was with a node that is no more
                self._beside.append(look(territory, place.node, None))
        self._scans.add(new)
        if new:
            self._scans.append(self._end_taken(territory.reader.looks))
        yield

    def _end_taken(self, looks: int) -> Steps:
        """Everything that was given to this shard is scanned. `looks`: how many there had been before."""
        self._territory.files += self._territory.reader.looks - looks
        yield from self._baselines.report()
