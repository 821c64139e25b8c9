"""ZeroMQ's wire protocol from the listening side, with limits for every connection.

- `door`: one listening socket and its connections.
- `connection`: what a door knows of one connection.
- `listener`: the listening socket itself, which can be paused, and made again.

`process` may import this; it imports nothing of the aggregator.
"""
