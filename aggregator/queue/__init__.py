"""`EventQueue`, a durable queue of file events that needs no service.

- `event_queue`: the queue as its users see it.
- `store`: its file: SQLite, for any number of threads and processes.
- `file_event`: `FileEvent`, and how two changes of one path become one. Pure.

Users import this by `shardwatch`, and the supervisor may import it; it imports nothing of the
aggregator.
"""
