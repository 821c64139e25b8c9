"""The commands. Each module's docstring is what `--help` says of it.

- `audit`: compares the index with the disk.
- `config`: prints the effective configuration.
- `doctor`: checks what stands between paths and being watched.
- `down`: stops the service.
- `groups`: lists groups, resets or drops one.
- `hold`: holds batches back while a command runs.
- `plan`: shows how paths would be cut into shards.
- `pull`: prints and acknowledges events of a running service.
- `release`: ends a hold.
- `status`: shows the running service.
- `sync`: waits until everything done so far is in the index.
- `up`: runs the service.
- `watch`: runs a service in the foreground and prints what changes.

`main` loads one of them by its name; it imports `follow`, `link` and `options`.
"""
