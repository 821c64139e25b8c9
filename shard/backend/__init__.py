"""Turns what the kernel or a library reports into hints. Nothing here looks at a file.

- `base`: the interface of every backend.
- `choice`: which of them there can be, and what helps when it has no room for all directories.
- `inotify`: inotify(7), with one watch per directory and a thread that only empties the queue.
- `decoding`: what inotify(7) said, decoded. Pure.
- `drain`: the thread that empties a queue of the kernel.
- `bursts`: how long such a queue is left alone while much happens. Pure.
- `patience`: how long what was read can be left there, before it is taken. Pure.
- `alarm`: a descriptor that becomes readable at a time.
- `calls`: the system calls of inotify(7).
- `fanotify`: fanotify(7), with one mark per filesystem and no watch for any directory.
- `fan_decoding`: what fanotify(7) said, decoded. Pure.
- `noise`: which directories that nobody watches are so busy that fanotify had better not report them. Pure.
- `unreported`: those that the kernel was told to ignore.
- `beside`: inotify and fanotify beside each other: what the first has no room for is the second's.
- `held`: which directories of the tree stand for a watch. Pure.
- `share`: how many watches a shard may hold, and when it may hold more.
- `watches`: the map from watch descriptors to directories. Pure.
- `native`: watchdog's observer for this platform, behind the same interface.
- `sweeping`: no watches: every directory is swept.
- `bell`: a second inotify instance that only wakes the process, for directories outside the tree.

`territory`, `version_control`, `schedule` and `main` may import this; it imports `tree` and `compiled`.
"""
