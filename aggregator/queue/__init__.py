"""`EventQueue`, a durable queue of file events that needs no service.

- `event_queue`: the queue, as its users see it.
- `store`: the SQLite file of the queue, shared by any number of threads and processes.
- `file_event`: `FileEvent`, and how two changes of one path are combined into one. Pure.

Users import this through `shardwatch`, and the supervisor may import it; it imports nothing of the
aggregator.
"""
