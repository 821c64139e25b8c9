"""What the kernel says about the machine, and how to ask a filesystem that may never answer.

- `mounts`: the table of mounts.
- `allowance`: the limits of inotify that apply to this process.
- `fanotify`: the system calls of fanotify(7) for whole filesystems, and what keeps it from being
  used at a place.
- `usage`: what of them the processes of a user hold.
- `scout`: a child process that asks a filesystem which may hang. It imports only the standard
  library, because the child runs this very file.

Everything may import this.
"""
