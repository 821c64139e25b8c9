"""`shardwatch ship`: an ordinary worker of an ordinary group, which publishes what it is handed.

- `notebook`: what the service keeps of its shipping, durably, and the lock that lets one process ship.
- `publisher`: gets messages their places in the stream.
- `source`: one source in one stream: its paths, its head, its generations.
- `syncs`: answers until when the source is shipped.
- `shipper`: connects, checks, and carries batch after batch.
- `patience`: ships on and on, whatever is wrong in between.
- `report`: what `status` shows of it.

The command line imports this; it imports `jetstream`, `protocol`, and the client of the extract protocol.
"""
