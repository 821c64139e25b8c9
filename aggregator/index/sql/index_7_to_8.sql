-- Schema 8: entries at rest lie in pages. Rows that there are stay rows, with the ticks that they have, until a listing finds their
-- directory at rest.
CREATE TABLE page (
    id INTEGER PRIMARY KEY,             -- entries at rest of one directory, packed (aggregator/index/page.py)
    dir INTEGER NOT NULL,
    first BLOB NOT NULL,                -- names of the first and the last live entry
    last BLOB NOT NULL,
    lane INTEGER NOT NULL,
    base INTEGER NOT NULL,              -- entry i has tick base + i
    tick INTEGER NOT NULL,              -- of the last live entry
    held INTEGER NOT NULL,              -- this and the next: as of an entry, the same for all
    at_ns INTEGER NOT NULL,
    live BLOB NOT NULL,                 -- one byte for each entry: 1, or 0 after it has become a row
    crc BLOB NOT NULL,                  -- of all the other columns but id
    names BLOB NOT NULL,                -- with zero bytes between them
    stats BLOB NOT NULL                 -- 48 bytes for each (shard/contract/files/packed.py)
);
CREATE UNIQUE INDEX page_by_name ON page (dir, first);
CREATE UNIQUE INDEX page_by_tick ON page (lane, tick);
