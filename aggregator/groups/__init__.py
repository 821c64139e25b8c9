"""Groups: where each consumer is, what it has on lease, and what it is handed next.

One group is made of these. They are pure; what must become durable is left in the group's journal.

- `group`: the group itself: its life, and what is done with its batches.
- `position`, `lane`: how far it has come in each lane, and which rows wait there for a path on lease.
- `leases`, `unit`: which batches are on lease, which are to be handed out again, and how the others ended.
- `set_aside`: paths that failed too often.
- `choice`: which rows make the next batch, and what they are told as.
- `batch`: what a pull gives: a batch, or the reason why there is none.
- `index_port`: what a group asks of the index.
- `journal`, `record`: what must become durable, and a group as it is stored.

All of them:

- `store`: groups on disk: `groups.db`.
- `registry`: all groups, in memory and on disk; commits and retention.

`server` and `main` may import this; it imports `index`, `storage` and `protocol`.
"""
