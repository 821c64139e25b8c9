"""Compares the index of a running service with the disk.

- `audit`: compares, looks again at what differs, and has it repaired.
- `disk_tree`: the disk, as the index should know it.

`cli` may import this; it imports nothing of the supervisor.
"""
