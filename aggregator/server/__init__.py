"""The requests of the extract socket, answered. It has no socket of its own.

- `serve`: parses requests, lets pulls wait, gives out replies after the commit.
- `calls`: one request on its way to its reply. Pure.
- `answers`: replies that only put together what is known: `hello`, and the outcome of a sync. Pure.
- `description`: all groups as `groups` and `status` show them, made in small steps.
- `engine_port`: what requests ask of the running engine.
- `group_requests`: the requests that concern one group: its batches and its position.
- `holding`: the requests `hold` and `unhold`, and what follows when a hold ends.
- `last_batch`: which batch of a group is the last one of what changed under a hold. Pure.
- `holds`: who holds batches back, since when, and for how much longer. Pure.

`process` and `main` may import this; it imports `groups` and `protocol`.
"""
