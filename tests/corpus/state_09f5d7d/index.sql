BEGIN TRANSACTION;
CREATE TABLE anchor (
    path BLOB PRIMARY KEY               -- of the plan that the rows were written under
) WITHOUT ROWID;
INSERT INTO "anchor" VALUES(X'2F746D702F736861726477617463682D7265636F726465642F74726565');
CREATE TABLE consumer (
    name TEXT PRIMARY KEY,              -- a group
    handed INTEGER NOT NULL             -- it was handed rows up to this tick, or was put there
) WITHOUT ROWID;
INSERT INTO "consumer" VALUES('done',6);
INSERT INTO "consumer" VALUES('failing',7);
INSERT INTO "consumer" VALUES('half',3);
INSERT INTO "consumer" VALUES('leased',3);
CREATE TABLE directory (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE
);
INSERT INTO "directory" VALUES(1,X'2F746D702F736861726477617463682D7265636F726465642F74726565');
INSERT INTO "directory" VALUES(2,X'2F746D702F736861726477617463682D7265636F726465642F747265652F6431');
INSERT INTO "directory" VALUES(3,X'2F746D702F736861726477617463682D7265636F726465642F747265652F6430');
CREATE TABLE entry (
    dir INTEGER NOT NULL,
    name BLOB NOT NULL,
    directory INTEGER NOT NULL,         -- what the row is about: 1 a directory, 0 a file or link
    kind INTEGER NOT NULL,              -- 0 gone (a tombstone), else as on the wire
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    nlink INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    racy INTEGER NOT NULL,
    lane INTEGER,                       -- priority; NULL: never an event
    tick INTEGER NOT NULL,
    held INTEGER NOT NULL,              -- bits of the groups that hold the path by what they were handed before this tick
    at_ns INTEGER NOT NULL,
    birth_ns INTEGER NOT NULL DEFAULT 0, -- when the file was made, if it came by a rename: it proves that it is the one that is gone
    PRIMARY KEY (dir, name, directory)
) WITHOUT ROWID;
INSERT INTO "entry" VALUES(1,X'6430',1,2,0,0,0,0,0,0,0,NULL,0,0,1795797794060362201,0);
INSERT INTO "entry" VALUES(1,X'6431',1,2,0,0,0,0,0,0,0,NULL,0,0,1795797794060362201,0);
INSERT INTO "entry" VALUES(2,X'66312E6A736F6E',0,0,65024,3027695,1,1,1795797790486187988,1795797790486187988,0,0,8,-1,1795797795120679345,0);
INSERT INTO "entry" VALUES(2,X'66332E6A736F6E',0,1,65024,3027698,1,3,1795797790486549999,1795797790486549999,0,0,2,0,1795797794060562384,0);
INSERT INTO "entry" VALUES(2,X'66352E6A736F6E',0,1,65024,3027701,1,5,1795797790486829037,1795797790486829037,0,0,3,0,1795797794060562384,0);
INSERT INTO "entry" VALUES(3,X'6261642E6A736F6E',0,1,65024,3022856,1,3,1795797794111451040,1795797794111451040,0,0,7,0,1795797794112687370,0);
INSERT INTO "entry" VALUES(3,X'66302E6A736F6E',0,1,65024,3027693,1,0,1795797790482981982,1795797790482981982,0,0,4,0,1795797794060562384,0);
INSERT INTO "entry" VALUES(3,X'66322E6A736F6E',0,1,65024,3027697,1,2,1795797790486371155,1795797790486371155,0,0,5,0,1795797794060562384,0);
INSERT INTO "entry" VALUES(3,X'66342E6A736F6E',0,1,65024,3027700,1,4,1795797790486694457,1795797790486694457,0,0,6,0,1795797794060562384,0);
CREATE TABLE inode (
    numbers INTEGER NOT NULL,           -- 16 inode numbers that follow one another, divided by 16 (aggregator/index/inodes.py)
    page INTEGER NOT NULL,              -- a page that may hold files with such a number
    PRIMARY KEY (numbers, page)
) WITHOUT ROWID;
CREATE TABLE moment (
    tick INTEGER PRIMARY KEY,           -- the last one that was given
    at_ns INTEGER NOT NULL              -- at that time
);
INSERT INTO "moment" VALUES(0,1795797794009704336);
CREATE TABLE opened (
    life TEXT PRIMARY KEY               -- the same, on a page of its own that is never in the log: a log of another file shows
);
INSERT INTO "opened" VALUES('926597be184cfef0458c3186a6e53185');
CREATE TABLE owed (
    path BLOB NOT NULL,                 -- a directory, and a name in it that its owner must look at again
    name BLOB NOT NULL,
    PRIMARY KEY (path, name)
) WITHOUT ROWID;
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
    stats BLOB NOT NULL                 -- 48 bytes for each (shard/contract/files/packed.py), in less room (aggregator/index/condensed.py)
);
CREATE TABLE sought (
    dev INTEGER NOT NULL,               -- a file whose other names are to be looked for when all pages are in `inode`
    ino INTEGER NOT NULL,
    gone INTEGER NOT NULL,              -- how many names it had by the row of one that is gone; else 0
    PRIMARY KEY (dev, ino)
) WITHOUT ROWID;
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema INTEGER NOT NULL,
    incarnation TEXT NOT NULL,          -- life of this index; a group that knows another one is told `fresh`
    tick INTEGER NOT NULL,              -- last tick given when this was committed
    ceiling INTEGER NOT NULL,           -- no tick above it was ever handed out: each start goes on from here
    collected INTEGER NOT NULL,         -- highest tick of a tombstone that was forgotten
    files INTEGER NOT NULL,
    directories INTEGER NOT NULL,
    filter TEXT NOT NULL,               -- what decided which rows exist
    service TEXT NOT NULL DEFAULT '',   -- running service whose streams stand in `stream`
    life TEXT NOT NULL DEFAULT '',      -- opening of the databases that wrote last (aggregator/storage/lives.py)
    inodes INTEGER                      -- pages up to this id are in the table `inode`; NULL: none, as no file had several names yet
);
INSERT INTO "state" VALUES(1,10,'6d98ae00ee47e609',8,8,0,6,2,'cc9b54ebd572f10aa5776ac0249baf97','90268e82b6b612921771ea0bf00beba3','926597be184cfef0458c3186a6e53185',NULL);
CREATE TABLE stream (
    shard TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    committed INTEGER NOT NULL,         -- number of the last frame applied, with its rows, in one transaction
    baseline INTEGER NOT NULL           -- plan generation whose baseline this epoch has finished; 0: none yet
) WITHOUT ROWID;
INSERT INTO "stream" VALUES('s0',55393420662,4,55393262936);
CREATE UNIQUE INDEX entry_by_tick ON entry (lane, tick) WHERE lane IS NOT NULL;
CREATE INDEX entry_gone ON entry (lane, tick) WHERE kind = 0;
CREATE UNIQUE INDEX page_by_name ON page (dir, first);
CREATE UNIQUE INDEX page_by_tick ON page (lane, tick);
COMMIT;
PRAGMA user_version=0;
