"""What a path is, and when two files are the same. Pure, except for `birth`, which asks the kernel.

- `paths`: exact paths: absolute bytes.
- `packed`: a stat, packed into a fixed number of bytes.
- `identity`: the rules for when two stats describe the same unchanged file.
- `birth`: identifies the file of a descriptor, so that a copy is distinguished from the original.

Everything may import this.
"""
