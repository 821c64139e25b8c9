"""Planning: which shard owns which subtree.

- `plan`: weights and limits in, a plan out.
- `planning`: the plan of a service: the one on disk where it still fits, else a new one.
- `survey`: weighs trees with a bounded number of directory reads.
- `limits`: inotify's limits, and how much of them is in use.
- `apart`: keeps what can hang apart from what can't. Pure.
- `homes`: which filesystem each root lies on.
- `named`: what the user named: directories, single files, and what is not there yet.
- `read_ahead`: reads a tree into a cold cache from the other end while a shard scans it.

`service`, `cli` and the programs may import this; it imports `host`.
"""
