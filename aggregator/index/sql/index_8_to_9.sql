-- Schema 9: entries in pages are found by inode, so files with several names are no reason any more to keep all in rows. Where one
-- was seen before, there are no pages yet.
ALTER TABLE state ADD COLUMN inodes INTEGER;
UPDATE state SET inodes = 9223372036854775807 WHERE EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'entry_by_inode');
CREATE TABLE inode (
    numbers INTEGER NOT NULL,           -- 16 inode numbers that follow one another, divided by 16 (aggregator/index/inodes.py)
    page INTEGER NOT NULL,              -- a page that may hold files with such a number
    PRIMARY KEY (numbers, page)
) WITHOUT ROWID;
CREATE TABLE sought (
    dev INTEGER NOT NULL,               -- a file whose other names are to be looked for when all pages are in `inode`
    ino INTEGER NOT NULL,
    gone INTEGER NOT NULL,              -- how many names it had by the row of one that is gone; else 0
    PRIMARY KEY (dev, ino)
) WITHOUT ROWID;
