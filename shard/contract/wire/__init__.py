"""The messages between shards and the aggregator.

- `frames`: the messages: msgpack, with a version and a size limit.
- `fold`: reduces the contents of a directory to one number, in the same way on both sides.
- `zmtp`: how messages travel: ZeroMQ's protocol, ZMTP 3.0 with the mechanism NULL. Pure.

The rest of the shard and the other houses may import this.
"""
