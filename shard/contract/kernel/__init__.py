"""What the kernel says about the machine, and how a filesystem is asked that may never answer.

- `mounts`: the table of mounts.
- `allowance`: inotify's limits as they hold for this process.
- `scout`: a child that asks a filesystem which may hang; it imports the standard library only,
  because the child runs this very file.

Everything may import this.
"""
