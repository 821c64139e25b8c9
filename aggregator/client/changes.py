"""What the request `since` answers. Pure."""

from __future__ import annotations

import msgspec

from ..protocol.messages import Event, exact


class ChangesSince(msgspec.Struct):
    """What has changed since a cursor."""

    #: Give it to the next `since`.
    cursor: str
    #: The paths that have changed, each once and in the state that it has now: `modified` (it is there) or `deleted`.
    events: list[Event]
    #: There is more: call `since` with `cursor` at once.
    more: bool
    #: "" if the events are all that has changed. Otherwise why that is not known (then there are no events): look at everything.
    fresh: str = ""


_decoder = msgspec.msgpack.Decoder(ChangesSince)


def decode_since(body: bytes) -> ChangesSince:
    """The reply, with exact paths in its events."""
    changes = _decoder.decode(body)
    for event in changes.events:
        exact(event)
    return changes
