"""The map from watch descriptors to directories. Does no input or output."""

from __future__ import annotations

from typing import Final

from ..tree.nodes import Node

#: log2 of the places in a block.
_BITS: Final = 6
_MASK: Final = (1 << _BITS) - 1


class Watches:
    """A dictionary whose keys are dense: the kernel counts watch descriptors up. Blocks of 64 take 9 bytes a directory where a
    dict takes 29 to 52; a block of which one directory is left takes 600."""

    __slots__ = ("_blocks", "_count")

    def __init__(self) -> None:
        self._blocks: dict[int, list[Node | None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, wd: int) -> bool:
        return self.get(wd) is not None

    def get(self, wd: int) -> Node | None:
        block = self._blocks.get(wd >> _BITS)
        return block[wd & _MASK] if block is not None else None

    def setdefault(self, wd: int, node: Node) -> Node:
        """The directory of a watch: this one, where there was none."""
        block = self._blocks.get(wd >> _BITS)
        if block is None:
            block = self._blocks[wd >> _BITS] = [None] * (_MASK + 1)
        held = block[wd & _MASK]
        if held is None:
            held = block[wd & _MASK] = node
            self._count += 1
        return held

    def any(self) -> Node | None:
        """One of the directories."""
        for block in self._blocks.values():
            return next(node for node in block if node is not None)
        return None

    def __setitem__(self, wd: int, node: Node) -> None:
        block = self._blocks.get(wd >> _BITS)
        if block is None:
            block = self._blocks[wd >> _BITS] = [None] * (_MASK + 1)
        self._count += block[wd & _MASK] is None
        block[wd & _MASK] = node

    def __delitem__(self, wd: int) -> None:
        """Raises KeyError."""
        block = self._blocks[wd >> _BITS]
        if block[wd & _MASK] is None:
            raise KeyError(wd)
        block[wd & _MASK] = None
        self._count -= 1
        if not any(block):
            del self._blocks[wd >> _BITS]
