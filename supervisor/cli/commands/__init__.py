"""The commands. The docstring of each module is the text of its `--help`.

- `audit`: compares the index with the disk.
- `completion`: prints a script that has a shell complete all of this.
- `config`: prints the effective configuration.
- `dead`: lists the paths that were set aside; hands them out again, or drops them.
- `doctor`: checks whether paths can be watched.
- `down`: stops the service.
- `drain`: waits until every group has acknowledged everything done so far.
- `exec`: runs a command when something changes.
- `explain`: says why an event of a path came, or did not come.
- `find`: finds files in the index of the running service.
- `groups`: lists groups; shows, creates, rewinds, resets, waits for or drops one.
- `hold`: holds batches back while a command runs.
- `init`: looks at a tree and writes a configuration for it.
- `logs`: prints the logs of all programs.
- `plan`: shows how paths would be divided into shards.
- `pull`: prints and acknowledges events of a running service.
- `rebalance`: has subtrees moved from one shard to another.
- `release`: ends a hold.
- `reload`: has the running service take over a changed configuration.
- `root`: lists the roots of the running service, adds and removes some.
- `ship`: publishes every change to a stream of NATS JetStream.
- `since`: prints what has changed since a cursor.
- `status`: shows the running service.
- `sync`: waits until everything done so far is in the index.
- `top`: shows the running service again and again.
- `up`: runs the service.
- `watch`: runs a service in the foreground and prints changes.
- `web`: serves a web page about the running service, and its metrics.

`main` loads one of them by its name; it imports `follow`, `link` and `options`.
"""
