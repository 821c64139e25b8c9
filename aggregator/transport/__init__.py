"""ZeroMQ's wire protocol from the listening side, with limits for every connection.

- `door`: one listening socket and its connections.

`process` may import this; it imports nothing of the aggregator.
"""
