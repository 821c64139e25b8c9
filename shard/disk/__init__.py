"""Reading the disk: the system calls, and what they say about names, directories, filesystems and
mounts.

- `disk`: the port through which all of this, and `territory`, look at the trees.
- `calls`: the few system calls by which a shard looks; they follow no link on the way.
- `reading`: the loops that read a directory and look at names, in one directory or in many; native code may stand in for them.
- `entering`: the loop of a scan, which opens, watches and lists directories side by side; likewise.
- `look`: reads a directory, or names in it, and returns what is in scope. It sends nothing.
- `ignore_files`: reads the ignore files, and notices which of them have changed.
- `repositories`: finds the repositories of git, and to which directory a `.git` leads.
- `regular_file`: reads small files of a tree, if they are regular ones.
- `ignore_setting`: whether a service asks them; loads `ignore_files` only then.
- `filesystems`: of which filesystems the inode numbers are meaningful, and which are virtual.
- `virtual`: filesystems whose contents the kernel makes up.
- `virtual_mounts`: where such filesystems are mounted in the trees; they are passed over.
- `statx`: two system calls that Python does not offer.
- `mounts`: what is mounted and unmounted while a shard runs.
- `slow`: mounts that are polled because they report nothing, or whose server may hang.

Every other room of the shard may import this; of the shard it imports `contract` and `compiled` only.
"""
