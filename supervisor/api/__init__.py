"""The names of the specification: `RealtimeFileWatcher` and what belongs to it.

- `watcher`: `RealtimeFileWatcher`.
- `types`: the specification's data types.
- `events`: `FileEventProcessor`: which events matter, and what a burst of them amounts to.
- `engine`: the service behind a watcher, started as its child.
- `handover`: hands events to the user's handler, and settles with whoever they came from.
- `calls`: calls functions of the user's, whatever one of them does.
- `files`: whether the files that events tell of can be worked on.

Users import this by `shardwatch`; nothing of ours does. It imports `service`, `config` and `host`.
"""
