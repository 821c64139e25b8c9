"""What travels over JetStream, and the rules by which it does (docs/fleet.md is the reference). Pure: no sockets, clocks, disks.

- `names`: the subjects of one source.
- `bodies`: what the messages say.
- `publishing`: how a message gets its place without overwriting a newer one.
- `logs`: the layout `batches`, in which a partition is a log.
- `generations`: when everything must be published again, under which number.
- `syncs`: how a consumer asks until when a source is shipped.
- `layouts`: what a stream is wanted to be.
- `stream`: what a stream of either layout, and a server, must be like.

The rest of the bridge imports this; it imports the messages of the extract protocol.
"""
