"""The messages between shards and the aggregator.

- `frames`: the messages: msgpack, with a version and a size limit.
- `fold`: reduces the contents of a directory to one number, in the same way on both sides.

The rest of the shard and the other houses may import this.
"""
