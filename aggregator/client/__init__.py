"""The clients of the extract socket: one conversation, which knows no sockets, and two drivers.

- `requests`: every request, its fields made of checked arguments.
- `replies`: which request a reply answers, and what it says.
- `conversation`: asks until an answer comes: numbers, deadlines, patience and pauses. Without I/O.
- `absence`: whether a service is waited for, and what is logged of it.
- `batch`: what a pull hands out, and the lease that it is held on. Without I/O.
- `owed`: the acknowledgement that goes with the next request of a loop. Without I/O.
- `changes`: what `since` answers. Without I/O.
- `dead`: what `dead` answers. Without I/O.
- `early`: pulls the next batch while the present one is worked on. Without I/O.
- `following`: the loop of `batches`, through restarts of the service. Without I/O.
- `connection`: a ZeroMQ connection that can be asked whether it was cut.
- `blocking_driver`: carries out what a conversation asks for, blocking.
- `asyncio_driver`: the same for asyncio; kept apart, so that asyncio is loaded only where it is used.
- `base`: what both clients are made of.
- `blocking`: `ExtractClient`.
- `asynchronous`: `AsyncExtractClient`.

Workers import this by `shardwatch`, and the supervisor may import it; it imports `protocol`.
"""
