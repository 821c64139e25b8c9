"""How a process that ends in order tells supervisord's plugin that it is to be started again, and why.

Such an end is no death: it does not count for the breaker (`supervisor.plugin.breaker`). How often in a row a process ended
because it had too much memory is told to its successor, which then lives for longer before it may end for that again.
"""

from __future__ import annotations

import os
from typing import Final

#: Exit codes of a process that is to be started again: for other settings, and because it had too much memory.
AGAIN_CODE: Final = 90
MEMORY_CODE: Final = 91
#: Environment variable with how often in a row it was for its memory; not set if the last end was another. Two underscores: no
#: option of the user's.
RENEWALS_VARIABLE: Final = "SHARDWATCH__RENEWALS"
#: How long a process lives at least that was started again once for its memory, seconds: twice that after the second time in a
#: row, and so on, up to the longest. A life that was as long as that ends the row.
PAUSE_S: Final = 60.0
PAUSE_S_MAX: Final = 3600.0


def pause_s(renewals: int) -> float:
    """How long a process has to live that was started again so often in a row, seconds."""
    return min(PAUSE_S_MAX, PAUSE_S * 2.0 ** min(renewals - 1, 10)) if renewals else 0.0


def renewals_before() -> int:
    """How often in a row this program was started again for its memory; 0 also where the variable is no number."""
    text = os.environ.get(RENEWALS_VARIABLE, "")
    return int(text) if text.isdigit() and len(text) < 10 else 0
