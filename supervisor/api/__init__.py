"""The names of the specification: `RealtimeFileWatcher` and what belongs to it.

- `watcher`: `RealtimeFileWatcher`.
- `place`: the state directory of a watcher, and the queue in it.
- `types`: the data types of the specification.
- `events`: `FileEventProcessor`: which events are relevant, and what a burst of them amounts to.
- `source`: the service behind a watcher, started as its child.
- `handover`: hands events to the user's handler, and acknowledges them to their source.
- `calls`: calls functions of the user, so that no exception escapes.
- `files`: checks whether the files that events name can be processed.

Users import this through `shardwatch`; nothing in the product does. It imports `service`, `config`
and `host`.
"""
