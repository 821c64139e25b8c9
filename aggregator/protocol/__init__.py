"""The extract socket's messages (docs/protocol.md).

- `messages`: every request, and what replies are made of.

`groups`, `server`, `client`, `process` and `main` may import this; it imports nothing of the
aggregator.
"""
