"""One request of the extract socket on its way to its reply. Pure; used by `serve` and `waiting`."""

from __future__ import annotations

from typing import Any

from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError

Envelope = list[bytes]
Outgoing = tuple[Envelope, bytes]


class Call:
    """A request, and where its reply goes."""

    __slots__ = ("created", "done", "envelope", "existed", "id", "json", "request", "token")

    def __init__(self, envelope: Envelope, body: bytes) -> None:
        self.envelope = envelope
        self.json = protocol.is_json(body)
        self.id: object = None
        self.request: Any = None
        self.done = False
        self.created = False
        self.existed = False
        #: Of a sync: what the engine calls it.
        self.token = 0

    def read(self, body: bytes) -> None:
        """Fills in `id` and `request`. Raises RefusedError."""
        raw = protocol.decode_map(body)
        self.id = protocol.request_id(raw)
        self.request = protocol.parse(raw)

    def reply(self, fields: dict[str, object]) -> bytes:
        return self._encode({"ok": True, **fields})

    def error(self, error: RefusedError) -> bytes:
        fields = {"ok": False, "error": error.code, "message": error.message, "remedy": error.remedy}
        return self._encode({**fields, **error.more})

    def _encode(self, fields: dict[str, object]) -> bytes:
        return protocol.encode_reply({"v": bounds.PROTOCOL_VERSION, "id": self.id, **fields}, json=self.json)
