"""Which paths are in scope. Pure: exact bytes in, yes or no out.

- `pattern`: one gitignore pattern, compiled.
- `filter`: include and exclude patterns together, written for the hot path.
- `scope`: what is watched in a directory, by patterns or because a file in it was named explicitly.
- `wildmatch`: one pattern of an ignore file, as a regular expression.
- `ignore_file`: the rules of one ignore file.
- `ignores`: what the ignore files of a tree leave out, given what each of them contains.

The rest of the shard and the other houses may import this.
"""
