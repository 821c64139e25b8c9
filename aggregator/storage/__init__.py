"""What the databases have in common: their logs, disks that fail, and files that are others than before.

- `checkpoints`: moves what was committed from a log to its database, in a thread of its own.
- `durability`: what is to survive of what is committed.
- `damage`: distinguishes a damaged database from a disk that refuses, and sets a damaged one aside.
- `lives`: decides whether the databases are the ones that were in use last, or copies, or restored
  ones.

`index`, `groups`, `process` and `main` may import this; it imports nothing of the aggregator.
"""
