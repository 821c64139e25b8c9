"""What to do when the disk fails, or when it contains other files than before.

- `damage`: distinguishes a damaged database from a disk that refuses, and sets a damaged one aside.
- `lives`: decides whether the databases are the ones that were in use last, or copies, or restored
  ones.

`index`, `groups`, `process` and `main` may import this; it imports nothing of the aggregator.
"""
