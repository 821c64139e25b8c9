"""What a shard remembers of the tree: directories, and names that need another look. Pure.

- `nodes`: the directories a shard knows, one small object each; no file is kept.
- `early`: names whose last look came too soon after their change to be certain.
- `renames`: names that came by a rename, until they are looked at.
- `unlinked`: names that had a hint and are not there, although nothing said that they left.

`backend`, `territory` and `schedule` may import this; it imports `disk` and `contract`.
"""
