"""Takes the streams of the shards into the index.

- `receive`: order, gaps, epochs, acknowledgements, baselines and syncs. It uses no socket and no
  clock.
- `syncs`: which shards have answered a sync, and which requests wait for it. Pure.
- `engine`: status, readiness and syncs of the running engine, as requests see them.

`main` may import this; it imports `index`.
"""
