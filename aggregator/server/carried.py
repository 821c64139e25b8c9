"""The acknowledgement that a `pull` carries: it may name a batch that is done. Pure."""

from __future__ import annotations

from msgspec import UNSET

from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .call import Fields

#: What the reply to a request says that carries none.
NONE: Fields = {}


def acknowledge(group: Group, index: IndexPort, request: protocol.Pull, now: float) -> Fields:
    """Acknowledges the batch that the request carries. Returns the fields of its reply that tell of it: none where the field was
    left out, as earlier clients do.

    That it comes too late does not refuse the pull: the reply says so. Raises RefusedError for what is no id of a batch.
    """
    if request.ack is UNSET:
        return NONE
    if request.ack is None:  # a client that asks whether this service knows the field
        return {"acked": None}
    try:
        group.ack(index, group.batches.number(request.ack), now)
    except RefusedError as error:
        if error.code != "lease_expired":
            raise
        return {"acked": False}
    return {"acked": True}
