"""The clients of the extract socket.

- `base`: what both clients share: addresses, requests as bytes, replies as values.
- `blocking`: `ExtractClient`.
- `asynchronous`: `AsyncExtractClient`; kept apart, so that asyncio is loaded only where it is used.

Workers import this by `shardwatch`, and the supervisor may import it; it imports `protocol`.
"""
