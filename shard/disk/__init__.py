"""Reading the disk: the system calls, and what they say about names, directories, filesystems and
mounts.

- `disk`: the port through which all of this, and `territory`, look at the trees.
- `calls`: the few system calls that a shard looks with; no link on the way is followed.
- `look`: a directory, or names in it: what of ours is there. It sends nothing.
- `filesystems`: what a filesystem's inode numbers and times of birth are worth.
- `mounts`: what is mounted and unmounted while a shard runs.
- `slow`: mounts that are polled because they tell nothing, or whose server may hang.

Every other room of the shard may import this; of the shard it imports `contract` only.
"""
