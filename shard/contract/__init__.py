"""What shards, the aggregator and the supervisor have agreed on: the only code that every program
of ours imports.

- `errors`: the one tree of errors; every error says what was being done, and what the user can do
  about it.
- `causes`: what an error of the system or of SQLite means for whoever runs the service.
- `limits`: every bound of the engine, with its unit and its reason.
- `version`: the version of the package.
- `input`: what others give us, checked or made safe to show.
- `files`: what a path is, and what makes two stats the same file.
- `kernel`: the table of mounts, inotify's limits, and filesystems that may never answer.
- `state`: the state directory and the plain data in it.
- `filter`: which paths are ours.
- `wire`: frames between shards and aggregator.
- `process`: how a process of ours is set up, lives and dies.

Everything may import this, and it imports nothing outside of itself.
"""
