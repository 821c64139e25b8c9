"""`FleetClient` and its asyncio twin: workers on any machine that share the sources in a stream (docs/fleet.md).

- `store`: what a group keeps durably, wherever it does.
- `sqlite`: the store for this in SQLite.
- `steps`: what the decisions ask for.
- `sharing`: which worker has which partition (pure).
- `course`: what the messages of a partition mean, given what is kept (pure).
- `readings`: what a member tells of the partitions that it reads.
- `heads`: how many partitions there are, and in which generation each source is (pure).
- `leases`: the leases of a group in the key-value store, and what one worker has of them.
- `partition_reader`: reads what a worker has.
- `listings`: asks for sources to be told again.
- `member`: one worker of a group: its connection, over which these three go.
- `following`: the loop of `batches`.
- `syncing`: asks until when a source is shipped.
- `base`: what both clients are made of.
- `blocking`: `FleetClient`.
- `asynchronous`: `AsyncFleetClient`.

Workers import this by `shardwatch.fleet`; it imports `jetstream` and `protocol`.
"""
