"""From the kernel, or a library, to hints. Nothing here looks at a file.

- `base`: what every backend is.
- `inotify`: inotify(7), with one watch for each directory and a thread that only drains the queue.
- `calls`: the system calls of inotify(7).
- `watches`: which directory a watch descriptor belongs to. Pure.
- `native`: watchdog's observer of this platform behind the same interface.
- `sweeping`: no watches at all: every directory is swept.
- `bell`: a second inotify instance that only wakes, for directories outside of the tree.

`territory`, `version_control`, `schedule` and `main` may import this; it imports `tree`.
"""
