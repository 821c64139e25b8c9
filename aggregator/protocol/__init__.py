"""The extract socket's messages (docs/protocol.md).

- `messages`: every request, and what replies are made of.
- `bounds`: the version, and the bounds of fields.
- `codes`: error codes that whoever asks treats differently.

`groups`, `server`, `client`, `process` and `main` may import this, and the supervisor may too; it
imports nothing of the aggregator.
"""
