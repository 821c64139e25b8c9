"""The state directory: where everything lies in it, how it is opened, and the plain data that is
kept there.

- `layout`: the names of all files in a state directory. Pure.
- `directory`: the directory opened once as a descriptor, and everything in it reached from there.
- `trust`: whose files are believed, wherever they lie.
- `settings`: the effective settings of one service.
- `planfile`: the plan: which shard owns which directory.

The rooms above it (`filter`, `wire`, `process`), the rest of the shard, and the other houses may
import this.
"""
