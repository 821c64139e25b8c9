"""Groups: where each consumer is, what it has on lease, and what it is handed next.

- `group`: one group. Pure: what must become durable is left in its journal.
- `lease`: lanes, units on lease or due again, and how rows become events. Pure.
- `choice`: which rows make the next batch, and what they are told as. Pure.
- `store`: groups on disk: `groups.db`.
- `registry`: all groups, in memory and on disk; commits and retention.

`server` and `main` may import this; it imports `index`, `storage` and `protocol`.
"""
