"""Groups: where each consumer is, what it has on lease, and what it is handed next.

One group is made of these, which are pure:

- `group`: the group itself: its life, and by that, what its parts hand out and say.
- `batches`: its batches that were handed out, and what their workers say about them.
- `delivery`: what comes next, and the position that moves with it.
- `outcomes`: how its units end, and what becomes of their rows.
- `failure`: how a batch has failed.
- `unacknowledged`: what it has not acknowledged yet, and its cursor, which follows from that.
- `holder_mark`: how rows note that it holds their paths.
- `position`: how far it has come, in all lanes.
- `lane`: how far it has come in one lane, and which rows wait there for a path on lease.
- `lease_terms`: to whom a batch is leased, and until when.
- `units`: all its units: those of the next three.
- `leases`: which batches are on lease.
- `redeliveries`: which are to be handed out again, and when.
- `ended`: how those ended that were not acked.
- `unit_numbers`: their numbers, none of which is given twice.
- `unit`: rows that go together: a batch on lease, or one that is to be handed out again.
- `set_aside`: paths that failed too often.
- `standing`: what the group was told of one row, or owes about it.
- `choice`: which rows make the next batch, and what they are told as.
- `batch`: what a pull gives: a batch, or the reason why there is none.
- `events`: the events of a batch, most of them as they travel.
- `index_port`: what a group asks of the index.
- `journal`: what must become durable.
- `record`: a group as it is stored.

All groups together:

- `store`: groups on disk, in `groups.db`: transactions, and whether the file is the one that was in use last.
- `tables`: what is stored of groups, in SQL.
- `schema`: the file's tables, and opening it with the newest of them.
- `registry`: all groups, in memory and on disk; commits and retention.
- `dates`: when each group has something to do again. Pure.

`server` and `main` may import this; it imports `index`, `storage` and `protocol`.
"""
