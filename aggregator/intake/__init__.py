"""Takes the streams of the shards into the index.

- `receive`: order, gaps, epochs, acknowledgements, baselines and syncs. It uses no socket and no
  clock.
- `frame_records`: applies the records of frames to the index, each if its sender owns the path.
- `ownership`: which shard may report about which directory, by the plan and the one before. Pure.
- `look_requests`: which of the looks that are owed are asked for next, and of which shard. Pure.
- `syncs`: which shards have answered a sync, and which requests wait for it. Pure.
- `engine`: status, readiness and syncs of the running engine, as requests see them.

`main` may import this; it imports `index`.
"""
