"""The events of a batch, in their order. Pure.

Most events are made together, of whole pages of the index. They are kept as they travel, and become objects only where somebody
reads them: for a reply in JSON, and where a `deleted` event may belong to a `created` one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, overload

import msgspec

from ..protocol.messages import Event, Fresh
from ..protocol.packing import joined, pack, unpack


class _Packed(NamedTuple):
    """Some events as they travel: an array of MessagePack."""

    number: int
    array: bytes


class Events(Sequence[Event | Fresh]):
    """Grows at its end only."""

    __slots__ = ("_pieces",)

    def __init__(self, events: Iterable[Event | Fresh] = ()) -> None:
        self._pieces: list[_Packed | list[Event | Fresh]] = [list(events)]

    def __len__(self) -> int:
        return sum([piece.number if isinstance(piece, _Packed) else len(piece) for piece in self._pieces])

    def __iter__(self) -> Iterator[Event | Fresh]:
        for piece in self._pieces:
            yield from unpack(piece.array) if isinstance(piece, _Packed) else piece

    @overload
    def __getitem__(self, place: int) -> Event | Fresh: ...
    @overload
    def __getitem__(self, place: slice) -> list[Event | Fresh]: ...
    def __getitem__(self, place: int | slice) -> Event | Fresh | list[Event | Fresh]:
        return list(self)[place]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (Events, list)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def last(self) -> list[Event | Fresh]:
        """Where further events are appended one by one, until `add_packed` is called."""
        piece = self._pieces[-1]
        if isinstance(piece, _Packed):
            piece = []
            self._pieces.append(piece)
        return piece

    def add_packed(self, count: int, array: bytes) -> None:
        """Appends events that `pack_events` has made."""
        self._pieces.append(_Packed(count, array))

    def first(self, limit: int) -> Events:
        """The first ones, at most so many."""
        return self if len(self) <= limit else Events(islice(self, limit))

    def packed(self) -> msgspec.Raw:
        """All of them, as they travel in MessagePack."""
        arrays = [piece.array if isinstance(piece, _Packed) else pack(piece) for piece in self._pieces if piece]
        return msgspec.Raw(joined(len(self), arrays or [pack([])]))
