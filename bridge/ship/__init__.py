"""`shardwatch ship`: an ordinary worker of an ordinary group, which publishes what it is handed.

- `notebook`: what the service keeps of its shipping, durably, and the lock that lets one process ship.
- `outlet`: how changes get into a stream of either layout.
- `mirror`: the layout `paths`.
- `publisher`: gets its messages their places in the stream.
- `deletions`: removes old deletions from a mirror.
- `logs`: the layout `batches`.
- `source`: one source in one stream: its head, its generations, and what of its changes is there.
- `listings`: has everything told again for who has missed something.
- `syncs`: answers until when the source is shipped.
- `shipper`: connects, checks, and carries batch after batch.
- `patience`: ships on and on, whatever is wrong in between.
- `report`: what `status` shows of it.

The command line imports this; it imports `jetstream`, `protocol`, and the client of the extract protocol.
"""
