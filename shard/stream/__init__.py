"""The stream of one shard to the aggregator.

- `send`: numbers frames, keeps them until they are acknowledged, and sends again what may be lost.

`territory`, `schedule` and `main` may import this; it imports `contract` only.
"""
