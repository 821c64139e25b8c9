"""Those error codes of replies that clients treat in different ways (docs/protocol.md lists all codes). Constants only.
"""

from __future__ import annotations

from typing import Final

#: Refusals that pass by themselves: the same request may succeed later.
RETRYABLE: Final = frozenset({"busy", "stopping", "storage"})
#: Refusals that the user of a command can cause, and mend.
WRONG_REQUESTS: Final = frozenset({"bad_field", "bad_group", "bad_request", "unknown_group"})
#: A batch was to be acknowledged or given back too late: its lease is over, or its group is gone.
TOO_LATE: Final = frozenset({"lease_expired", "unknown_group"})
#: What a loop over batches goes on after: beside what passes, a group that was dropped while its pull waited. The next pull makes
#: it anew.
FOLLOWED: Final = RETRYABLE | {"unknown_group"}
