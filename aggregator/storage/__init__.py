"""When the disk fails, or holds other files than it did.

- `damage`: is a database damaged, or does the disk only refuse? What is damaged is set aside.
- `lives`: whether the databases are the ones that were in use last, or copies, or restored ones.

`index`, `groups`, `process` and `main` may import this; it imports nothing of the aggregator.
"""
