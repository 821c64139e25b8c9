"""What shards and the aggregator send each other.

- `frames`: the messages: msgpack, versioned, size-checked.
- `fold`: one number for all that a directory holds, computed alike on both sides.

The rest of the shard and the other houses may import this.
"""
