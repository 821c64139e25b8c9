"""The requests of the extract socket, answered. It has no socket of its own.

- `serve`: gives each request to the part that answers it, and gives out replies after the commit.
- `call`: one request on its way to its reply. Pure.
- `outbox`: the replies of one turn, kept back until what they say is durable. Pure.
- `deadlines`: when what waits has waited for long enough. Pure.
- `roster`: the groups as requests name them: found, made, dropped; the requests `create` and `drop`.
- `pulls`: the request `pull`, and those of them that wait.
- `ahead`: pulls of workers that have a batch.
- `handing_out`: what a pull is given, and what was pulled ahead.
- `carried`: the acknowledgement that a pull carries. Pure.
- `group_requests`: the requests that concern one group: its batches and its position.
- `since`: the request `since`: what has changed since a cursor.
- `explanations`: the request `explain`: what each group was told of a path, or owes about it.
- `barriers`: the requests `sync` and `ready`, which wait for the engine.
- `acknowledgements`: the request `wait`, which waits for a group.
- `status_requests`: the requests `hello`, `status` and `groups`.
- `description`: all groups as `groups` and `status` show them, made in small steps.
- `holding`: the requests `hold` and `unhold`, and what follows when a hold ends.
- `last_batch`: which batch of a group is the last one of what changed under a hold. Pure.
- `holds`: who holds batches back, since when, and for how much longer. Pure.
- `engine_port`: what requests ask of the running engine.

`process` and `main` may import this; it imports `groups` and `protocol`.
"""
