"""One thing that is wrong with a service, or worth knowing of it. Pure."""

from __future__ import annotations

from msgspec import Struct

from .degradations import BY_REASON, Severity

#: What a finding is about. Two looks at a service that find the same thing give it the same key.
Key = tuple[str, ...]


class HealthFinding(Struct, frozen=True):
    """One problem. `reason` is its name in `degradations`, `key` identifies it, and `count` says how large it is."""

    key: Key
    reason: str
    message: str
    #: "" only for a note: then nothing has to be done.
    remedy: str = ""
    count: int = 0

    @property
    def level(self) -> Severity:
        return BY_REASON[self.reason].level

    def __str__(self) -> str:
        """One line: what is wrong, and what to do in brackets."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def differs(self, other: HealthFinding) -> bool:
        """Whether the difference is worth another line. It is not for every directory that appears or disappears in a tree of
        thousands.
        """
        return abs(self.count - other.count) * 10 > other.count
