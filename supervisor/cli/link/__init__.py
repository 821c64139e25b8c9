"""Which service a command means, and the connection to it.

- `place`: the state directory that a command means.
- `nearby`: which running service has to do with a directory.
- `connection`: a connection with several requests in flight.
- `in_flight`: which reply answers which of them, and when one counts as lost. Pure.
- `asking`: one question after another, for commands that print an answer and end.
- `synced`: requests that wait until something is in the index, or further on.
- `supervised`: commands that supervisord runs as programs of a service.

`follow` and `commands` may import this; it imports `options`.
"""
