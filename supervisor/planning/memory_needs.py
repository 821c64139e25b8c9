"""How much memory a shard and the aggregator need, and whether `memory_mib_max` leaves room for it. Pure.

The numbers are estimates: what was measured (docs/performance.md), rounded up.
"""

from __future__ import annotations

from typing import Final

from shardwatch.shard.contract.state.options import SHARDS_ALLOWED

MIB: Final = 1 << 20
#: Bytes of a shard that watches nothing, as ps shows them; and of each directory that it watches.
SHARD_BYTES: Final = 20 * MIB
DIRECTORY_BYTES: Final = 200
#: Bytes of an aggregator whose index is empty, as ps shows them.
AGGREGATOR_BYTES: Final = 26 * MIB


def shards_within(cap: int, beyond: int) -> int:
    """How many shards it takes so that none has more than `cap` bytes; 0 if no number helps, because a shard that watches nothing
    has that much, or because so many are not possible.

    Args:
        cap: bytes, above 0.
        beyond: bytes that all shards have together, beyond what they would have if they watched nothing; not negative.
    """
    if cap <= SHARD_BYTES:
        return 0
    count = max(1, -(-beyond // (cap - SHARD_BYTES)))
    return count if count <= SHARDS_ALLOWED else 0
