"""Takes over, while a service runs, what has changed in its configuration.

A command reads the configuration again and checks it. What is to be taken over is then written to the state directory
as one *request*, and the coordinator carries it out. So there is one process that does it, whoever asks, and its
successor begins again where it was killed.

- `steps`: what has changed, and how each change is taken over. Pure.
- `costs`: what it costs to take over a change, in words. Pure.
- `request`: the request and what became of it, on disk.
- `asking`: makes a request, and waits until it was carried out.
- `scales`: weighs the shards for the coordinator, which then asks itself.
- `heirs`: waits until shards are ready for a plan that gives them what others have.
- `taking_over`: carries it out, in the coordinator.

The coordinator and `cli` may import this; it imports `service`, `planning`, `plugin` (its names),
`terminal` and `host`.
"""
