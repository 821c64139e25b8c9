"""The index: one row per path, stamped with the tick of its last change.

- `index`: the index on disk: transactions, records applied, rows read.
- `row`: the row model: what each field of a row means, as records and as groups read it. Pure.
- `ticks`: the numbers of changes, and up to which of them groups were handed rows. Pure.
- `merge`: what a record changes in the rows that are there. Pure.
- `changes`: what `merge` and `burial` want written for one directory. Pure.
- `burial`: the end of a row: whether a tombstone stays, and who is to be told. Pure.
- `plain`: short cuts for the two commonest records, with the same result as `merge`.
- `holders`: which groups hold what a row said before it was stamped anew, one bit for each. Pure.
- `streams`: the epoch, last frame and baseline of each shard's stream.
- `debts`: looks that are owed by shards, kept with the change that made them so.
- `tombstones`: rows of what is gone, and when they are forgotten.
- `replay`: how old a tombstone must be to be forgotten, on a clock that may be set. Pure.
- `verification`: what the shards' verification finds.
- `schema`: the file: made, opened, and brought to the newest schema by the scripts in `sql/`.
- `opening`: opens the index for a set of settings; a damaged one is set aside.
- `refit`: brings the rows to new settings, a part at a time.
- `reading`: reads the index of a running service from another process.

`intake`, `groups`, `main` and the supervisor may import this; it imports `storage`.
"""
