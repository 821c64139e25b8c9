"""`shardwatch top`: the running service on a terminal, again and again: the extra `[top]`.

- `screen`: what is shown, and what keys do.
- `contents`: the rows of each table. Pure.
- `rates`: what happens a second, from two looks at the counters. Pure.
- `service_link`: looks at the service, and restarts its programs. Blocks.

`cli` imports this; it imports `search`, `service` and `terminal`. It is the only room that may load
textual.
"""
