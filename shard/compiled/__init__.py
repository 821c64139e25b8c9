"""Native code for the loops in which a shard and the aggregator spend most of their time. It is optional: each loop has a
definition in Python, which is used where no compiler was there at the installation, or where `SHARDWATCH_NATIVE=0`.

- `choice`: whether native code is in use, and what stands in for a function.

The source is `_loops.c`. The definitions are where the functions are used (`reading` and `entering` in `disk`, `calls` and
`decoding` in `backend`, `condensed` in the index of the aggregator); a property test compares both. Everyone may import this; it
imports nothing.
"""
