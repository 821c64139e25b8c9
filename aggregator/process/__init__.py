"""What outlives the databases: the aggregator's lock, sockets and pulse.

- `sockets`: the lock, the sockets and the pulse, kept for the whole life of the process.
- `waiting`: what is answered while the databases can't be used.

`main` may import this; it imports `server`, `transport`, `protocol` and `storage`.
"""
