"""ZeroMQ's wire protocol from the listening side, with limits for every connection.

- `zmtp`: ZMTP 3.0 with the mechanism NULL. Pure.
- `door`: one listening socket and its connections.

`process` may import this; it imports nothing of the aggregator.
"""
