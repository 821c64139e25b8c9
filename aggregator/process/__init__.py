"""What the aggregator keeps for its whole life, while databases may be closed and opened again.

- `sockets`: the lock, the sockets and the pulse.
- `gathering`: when frames of shards wait for others, to be applied with them.
- `deferral`: when other processes see what was committed, while there is much. Pure.
- `sharing`: when a transaction ends, so that requests have their turn. Pure.
- `own_limits`: what the process may take of the machine.
- `outage`: answers requests while the databases cannot be used.

`main` may import this; it imports `server`, `transport`, `protocol` and `storage`.
"""
