"""What a stream and a server must be like, so that nothing is lost and no old state overwrites a newer one."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from .bodies import MESSAGE_BYTES_MAX

#: The first server that compares a subject's sequence with what is expected of that subject, and not of the stream
#: (github.com/nats-io/nats-server/issues/3716).
SERVER_MIN: Final = (2, 9, 10)
#: Later than the fix of an expected sequence of 0 in a replicated stream, which two publishers could both win
#: (github.com/nats-io/nats-server/pull/5794), and of two publishes at once (issue 4320).
REPLICATED_MIN: Final = (2, 10, 20)

#: Field of a stream's configuration -> the values that it may have; the first is that of a stream that is made.
WANTED: Final[dict[str, tuple[Any, ...]]] = {
    "retention": ("limits",),
    "storage": ("file",),
    "discard": ("new",),
    "max_msgs_per_subject": (1,),
    "discard_new_per_subject": (False, None),
    "max_age": (0, None),
    "max_msgs": (-1, 0, None),
    "no_ack": (False, None),
    "deny_purge": (False, None),
    "sealed": (False, None),
}


class StreamFacts(NamedTuple):
    """A stream that is there."""

    #: When it was made, as the server says it.
    created: str
    #: Its configuration, in the server's words.
    config: dict[str, Any]


def stream_fault(config: dict[str, Any], subjects: str, replicas: int | None) -> str:
    """What is wrong with a stream, with the value that is wanted; "" if nothing is.

    Args:
        config: in the server's words.
        subjects: what it must take.
        replicas: None: any number.
    """
    for field, values in WANTED.items():
        if config.get(field) not in values:
            return f"{field} is {config.get(field)}, and must be {values[0]}"
    if subjects not in (config.get("subjects") or ()):
        return f"its subjects are {', '.join(config.get('subjects') or ['none'])}, and must include {subjects}"
    if 0 <= (config.get("max_msg_size") or -1) < MESSAGE_BYTES_MAX:
        return f"max_msg_size is {config['max_msg_size']}, and must be -1, or at least {MESSAGE_BYTES_MAX}"
    if config.get("mirror") or config.get("sources"):
        return "it is made of other streams"
    if replicas is not None and config.get("num_replicas") != replicas:
        return f"num_replicas is {config.get('num_replicas')}, and not {replicas}"
    return ""


def server_fault(version: str, replicas: int) -> str:
    """Why a server's version won't do for a stream of so many replicas; "" if it does."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    least = SERVER_MIN if replicas == 1 else REPLICATED_MIN
    if found is not None and tuple(map(int, found.groups())) >= least:
        return ""
    for_replicas = "" if replicas == 1 else f" for a stream of {replicas} replicas"
    return f"it is nats-server {version or 'of an unknown version'}, and {'.'.join(map(str, least))} is needed{for_replicas}"
