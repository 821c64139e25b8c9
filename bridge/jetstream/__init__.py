"""Talks to NATS servers; the only room that imports nats-py, which is installed on request (`shardwatch[nats]`).

- `access`: which servers, and with which credentials: from the environment and files, never shown.
- `server_connection`: one connection, and what its end means.
- `answers`: many messages at once, and what JetStream answers to each.
- `broker`: what is asked of JetStream over a connection.
- `reader`: a part of a stream, in order.
- `unused_consumers`: what the servers keep of readers whose connection was lost, until the next connection removes it.

`ship` and `fleet` may import this; it imports `protocol`.
"""
