"""What a path is, and what makes two files the same. Pure, but for `birth`, which asks the kernel.

- `paths`: exact paths: absolute bytes.
- `identity`: when two stats say "the same file, unchanged"; every comparison of stats asks here.
- `birth`: which file a descriptor is of, so that a copy is told from the original.

Everything may import this.
"""
