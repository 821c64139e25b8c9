"""What a shard remembers of the tree: directories, and names that need another look. It asks the disk one thing only,
through its port: when a file that came by a rename was made.

- `nodes`: the directories that a shard knows, one small object each; files are not kept.
- `children`: the children of a directory by name.
- `activity`: which watched directories have been quiet for longest.
- `racy`: names whose last look was racy.
- `renames`: names that appeared by a rename, until they are looked at.
- `unlinked`: names that had a hint and do not exist, although no event said that they were removed.

`backend`, `territory` and `schedule` may import this; it imports `disk` and `contract`.
"""
