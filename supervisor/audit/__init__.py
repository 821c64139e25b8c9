"""Compares the index of a running service with the disk.

- `audit`: compares, looks again at what differs, and has it repaired.
- `disk_tree`: the disk, as the index should know it.
- `disk_look`: looks at single directories and names.
- `bounded_look`: makes these looks in a child process wherever a filesystem may hang.

`cli` may import this; of the supervisor it imports `host`.
"""
