"""One request of the extract socket on its way to its reply. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError

#: Where a reply goes: the key of the connection, then parts that are returned unchanged.
Envelope = list[bytes]
Fields = Mapping[str, object]


class LeaseName(NamedTuple):
    """A batch on lease: the name of its group, and its `id`."""

    group: str
    batch: str


class Outgoing(NamedTuple):
    """A reply that may be sent."""

    envelope: Envelope
    body: bytes
    #: The batch that it hands out, if any. It is on lease, and is released at once if the reply can't be delivered.
    lease: LeaseName | None = None


class Call:
    """A request, and the address of its reply."""

    __slots__ = ("envelope", "id", "json", "request")

    def __init__(self, envelope: Envelope, body: bytes) -> None:
        self.envelope = envelope
        self.json = protocol.is_json(body)
        self.id: object = None
        self.request: Any = None

    def read(self, body: bytes) -> None:
        """Fills in `id` and `request`. Raises RefusedError."""
        raw = protocol.decode_map(body)
        self.id = protocol.request_id(raw)
        self.request = protocol.parse(raw)

    def is_of(self, peers: frozenset[bytes]) -> bool:
        """Whether it came from one of these connections."""
        return bool(self.envelope) and self.envelope[0] in peers

    def reply(self, fields: Fields) -> bytes:
        return self._encode({"ok": True, **fields})

    def error(self, error: RefusedError) -> bytes:
        fields = {"ok": False, "error": error.code, "message": error.message, "remedy": error.remedy}
        return self._encode({**fields, **error.more})

    def _encode(self, fields: dict[str, object]) -> bytes:
        return protocol.encode_reply({"v": bounds.PROTOCOL_VERSION, "id": self.id, **fields}, json=self.json)
