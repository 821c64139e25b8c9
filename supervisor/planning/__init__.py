"""Planning: which shard owns which subtree.

- `plan`: makes a plan from weights and limits. Pure.
- `key`: the hash of the settings that a plan was made for.
- `continuity`: what of a plan goes on with the next one, and is not looked at again. Pure.
- `budget`: what the limits leave to a plan.
- `planning`: the plan of a service: the stored one if it still fits, otherwise a new one.
- `survey`: estimates the weight of trees with a limited number of directory reads.
- `tree_look`: reads directories for the survey.
- `census`: counts the kinds of files of a tree.
- `limits`: the limits of inotify, and how much of them is in use.
- `memory_needs`: how much memory a shard and the aggregator need, and whether a limit of ours leaves
  room for it. Pure.
- `needs`: what the processes of a service need of the machine, and whether they are allowed that
  much. Pure.
- `whole`: which roots can't be watched by fanotify, and why.
- `apart`: plans subtrees that may hang into shards of their own. Pure.
- `replans`: decides when a running service is planned anew. Pure.
- `rebalancing`: divides trees anew that have grown, and leaves as much as possible where it is.
  Pure.
- `rebalances`: decides when a running service does that. Pure.
- `heat`: where the trees change how often. Pure.
- `homes`: records the filesystem of each root.
- `named`: the paths that the user has named: directories, single files, and paths that do not exist
  yet.
- `read_ahead`: reads a tree into a cold cache from the other end while a shard scans it.

`service`, `cli` and the programs may import this; it imports `host`.
"""
