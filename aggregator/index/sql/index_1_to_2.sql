-- Schema 2 knows the groups that there are, beside groups.db: should that file be lost, they are told so.
CREATE TABLE consumer (
    name TEXT PRIMARY KEY,              -- a group
    handed INTEGER NOT NULL             -- it was handed rows up to this tick, or was put there
) WITHOUT ROWID;
-- Rows are found by inode where a file with several names was seen: the index on that is made then, over all rows.
DROP INDEX IF EXISTS entry_by_inode;
