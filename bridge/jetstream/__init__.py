"""Talks to NATS servers; the only room that imports nats-py, which is installed on request (`shardwatch[nats]`).

- `access`: which servers, and with which credentials: from the environment and files, never shown.
- `answers`: many messages at once, and what JetStream answers to each.
- `broker`: one connection, and what is asked of JetStream over it.
- `reader`: a part of a stream, in order.

`ship` and `fleet` may import this; it imports `protocol`.
"""
