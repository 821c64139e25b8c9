"""Says in words how a list of patterns has changed. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence


def changed_patterns(word: str, before: Sequence[str], now: Sequence[str]) -> str:
    """The difference; "" where there is none. `word`: what the patterns do, as in "excluded"."""
    more = [pattern for pattern in now if pattern not in before]
    less = [pattern for pattern in before if pattern not in now]
    parts = [f"{word} too: {_few(more)}"] if more else []
    parts += [f"no longer {word}: {_few(less)}"] if less else []
    if not parts and tuple(before) != tuple(now):
        parts = [f"{word} in another order"]
    return ", ".join(parts)


def _few(patterns: Sequence[str], most: int = 5) -> str:
    more = f" and {len(patterns) - most} more" if len(patterns) > most else ""
    return " ".join(json.dumps(pattern, ensure_ascii=False) for pattern in patterns[:most]) + more
