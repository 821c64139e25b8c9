"""The index: one row per path, with the tick of its last change. The rows are also the queue of all groups. Those at rest are
stored together, in pages.

The rows:

- `row`: the row model: the meaning of each field of a row, as records and as groups read it. Pure.
- `ticks`: the numbers of changes, and up to which of them groups were handed rows. Pure.
- `holders`: which groups hold a path, one bit per group. Pure.
- `merge`: compares records with the existing rows. Pure.
- `burial`: the end of a row: whether a tombstone remains, and which groups must be told. Pure.
- `changes`: what `merge` and `burial` want to write for one directory. Pure.
- `page`: what a page of rows is, how it begins, shrinks and ends, and its checksum. Pure.
- `condensed`: how the stats of a page take less room where they are stored. Pure.
- `plain`: short cuts for the two most frequent records, with the same result as `merge`.

The parts of the index, which share one file:

- `index`: puts the parts together; begins and commits transactions.
- `file`: the connection, the transaction, and the single row of the table `state`.
- `pages`: reads and writes pages.
- `inodes`: which pages may hold which files, once a file with several names was seen.
- `directory_table`: the ids of directories.
- `entries`: finds the rows of a directory, wherever they are.
- `entry_writer`: writes them, and puts into pages what can be there.
- `tables`: puts these parts together.
- `deferring`: commits that the database gets later, and which statements they consist of.
- `redo`: the file in which they are until then.
- `resting`: compares what was seen with whole pages, with the same result as `merge`.
- `scattered`: short cut for known files of many directories, with few statements.
- `unread`: short cut of that for rows that are as those before them were: they are not read.
- `records`: applies the records of shards.
- `backlog`: reads rows by lane and tick, for groups.
- `newest`: what changed last, kept in memory for groups that have come to it. Pure.
- `stretch`: rows of one page as groups read them, of which none is made before it is wanted. Pure.
- `portion`: what one such reading found, and how far it got. Pure.
- `moments`: which tick was the last one at which time, for groups that are moved back to a time.
- `tombstones`: the rows of paths that are gone, and when they are removed.
- `debts`: the looks that shards owe, stored together with the change that caused them.
- `streams`: the epoch, last frame and baseline of each shard's stream.
- `anchors`: the anchors of the plan under which the rows were written.
- `consumers`: the names of the groups, in case their own file is lost.

Around them:

- `schema`: creates and opens the file, and migrates it to the newest schema by the scripts in
  `sql/`.
- `opening`: opens the index for a set of settings; sets a damaged one aside.
- `walk`: goes through the rows in portions, all of them or those at and below some paths.
- `refit`: adapts the rows to new settings, in such portions.
- `fitting`: when that is done, at a start and when a running service takes over other roots.
- `replay`: how old a tombstone must be to be removed, on a clock that may be set. Pure.
- `verification`: compares the folds of the verification with rows, and counts findings.
- `reading`: reads the index of a running service from another process.
- `recent`: counts there where files have changed since a tick.
- `finding`: finds files by name, size and time there.

`intake`, `groups`, `main` and the supervisor may import this; it imports `storage`.
"""
