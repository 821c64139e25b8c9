"""Which paths are ours. Pure: exact bytes in, yes or no out.

- `pattern`: one gitignore pattern, compiled.
- `filter`: include and exclude patterns together, made for the hot path.
- `scope`: what of one directory is watched, by patterns or because a file in it was named itself.

The rest of the shard and the other houses may import this.
"""
