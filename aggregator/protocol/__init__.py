"""The messages of the extract socket (docs/protocol.md).

- `messages`: every request, and the parts of replies.
- `bounds`: the version, and the limits of fields.
- `packing`: many events, packed as they travel without an object for each of them.
- `codes`: the error codes that clients treat in different ways.

`groups`, `server`, `client`, `process` and `main` may import this, and the supervisor may too; it
imports nothing of the aggregator.
"""
