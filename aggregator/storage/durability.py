"""What is to survive of what is committed to a database, and how SQLite awaits the disk for that. Pure."""

from __future__ import annotations

from typing import Final

#: Beside `process` and `power` (the option `durability`): what was committed survives any kill of our processes. After a crash of
#: the machine nobody reads the database, since its directory goes when the service ends. So the disk is never awaited.
TEMPORARY: Final = "temporary"

_SYNCHRONOUS: Final = {TEMPORARY: "OFF", "process": "NORMAL", "power": "FULL"}


def synchronous(durability: str) -> str:
    """The value of SQLite's `synchronous` for ordinary commits."""
    return _SYNCHRONOUS[durability]


def synchronous_once(durability: str) -> str:
    """The same for what is to be on the disk whatever happens to the machine next, if the database is to survive that at all."""
    return "OFF" if durability == TEMPORARY else "FULL"
