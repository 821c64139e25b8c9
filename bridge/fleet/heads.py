"""What the heads of all sources say: how many partitions there are, and which generation each source is in. Pure."""

from __future__ import annotations

from ..protocol.bodies import Head, decode_head
from .readings import LastGeneration


class FleetHeads:
    """The last head of each source."""

    def __init__(self) -> None:
        #: Source -> its last head, and the sequence of that.
        self._last: dict[str, tuple[Head, int]] = {}
        #: The most partitions that any source has had, which never become fewer.
        self.partitions = 0

    def forget(self) -> None:
        """The stream is read anew, and may be another one."""
        self._last.clear()

    def saw(self, sequence: int, body: bytes) -> None:
        """The head of some source, or what is none of ours. An older one than the last that was seen says nothing."""
        head = decode_head(body)
        if head is not None and self._last.get(head.source, (head, 0))[1] < sequence:
            self._last[head.source] = head, sequence
            self.partitions = max(self.partitions, head.partitions, head.partitions_before)

    def generation(self, source: str) -> int:
        """The last one of a source; 0: none is known."""
        found = self._last.get(source)
        return 0 if found is None else found[0].generation

    def generations(self, partition: int) -> tuple[LastGeneration, ...]:
        """Of the sources that may have something in a partition."""
        return tuple(
            LastGeneration(source, head.generation, head.base or sequence, (*head.lasts[partition : partition + 1], 0)[0])
            for source, (head, sequence) in self._last.items()
            if partition < max(head.partitions, head.partitions_before)
        )
