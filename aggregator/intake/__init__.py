"""What shards send: their streams, taken into the index.

- `receive`: order, gaps, epochs, acknowledgements, baselines and syncs. It knows no socket and no
  clock.
- `syncs`: which shards have answered a sync, and who waits for it. Pure.
- `engine`: status, readiness and syncs of the running engine, as requests ask for them.

`main` may import this; it imports `index`.
"""
