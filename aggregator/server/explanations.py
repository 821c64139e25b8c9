"""The request `explain`: what each group was told of a path, or owes about it. Reads, and changes nothing."""

from __future__ import annotations

from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..index.row import Row
from ..protocol import messages as protocol
from .call import Call


class Explanations:
    """Answers `explain`."""

    def __init__(self, index: IndexPort, registry: Registry) -> None:
        self._index = index
        self._registry = registry

    def answer(self, call: Call, now: float) -> dict[str, object]:
        """The fields of the reply. Raises RefusedError."""
        (path,) = protocol.exact_paths("explain", [call.request.path_b64])
        return {"rows": [self._described(row, now) for row in self._index.rows_of(path)], "tick": self._index.tick}

    def _described(self, row: Row, now: float) -> dict[str, object]:
        groups = [{"name": group.name, **group.standing(row, now)} for group in self._registry.named()]
        return {"is_directory": bool(row.directory), "exists": bool(row.kind), "tick": row.tick, "groups": groups}
