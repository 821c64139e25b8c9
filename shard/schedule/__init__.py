"""What a shard does next.

- `watcher`: the queue of looks between the hints that come in and the stream that goes out.
- `settle`: which hints are due: a path waits for quiet, but not longer than a cap. Pure.
- `pace`: when the rescan that an overflow asks for may begin. Pure.

`main` may import this; it imports every other room of the shard but `version_control`.
"""
