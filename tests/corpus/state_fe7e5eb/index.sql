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
    born INTEGER NOT NULL,
    died INTEGER NOT NULL,
    made INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    birth_ns INTEGER NOT NULL DEFAULT 0, -- when the file was made, if it came by a rename: it proves that it is the one that is gone
    PRIMARY KEY (dir, name, directory)
) WITHOUT ROWID;
INSERT INTO "entry" VALUES(1,X'6430',1,2,0,0,0,0,0,0,0,NULL,0,0,0,0,1795757126022543514,0);
INSERT INTO "entry" VALUES(1,X'6431',1,2,0,0,0,0,0,0,0,NULL,0,0,0,0,1795757126022543514,0);
INSERT INTO "entry" VALUES(2,X'66312E6A736F6E',0,0,65024,2615771,1,1,1795757116509783122,1795757116509783122,0,0,8,1,8,1,1795757127521323834,0);
INSERT INTO "entry" VALUES(2,X'66332E6A736F6E',0,1,65024,2615773,1,3,1795757116509848293,1795757116509848293,0,0,2,2,0,2,1795757126022947447,0);
INSERT INTO "entry" VALUES(2,X'66352E6A736F6E',0,1,65024,2615775,1,5,1795757116509926512,1795757116509926512,0,0,3,3,0,3,1795757126022947447,0);
INSERT INTO "entry" VALUES(3,X'6261642E6A736F6E',0,1,65024,2615793,1,3,1795757126447535926,1795757126447535926,0,0,7,7,0,7,1795757126452603658,0);
INSERT INTO "entry" VALUES(3,X'66302E6A736F6E',0,1,65024,2615769,1,0,1795757116507921838,1795757116507921838,0,0,4,4,0,4,1795757126023125655,0);
INSERT INTO "entry" VALUES(3,X'66322E6A736F6E',0,1,65024,2615772,1,2,1795757116509820990,1795757116509820990,0,0,5,5,0,5,1795757126023125655,0);
INSERT INTO "entry" VALUES(3,X'66342E6A736F6E',0,1,65024,2615774,1,4,1795757116509902011,1795757116509902011,0,0,6,6,0,6,1795757126023125655,0);
CREATE TABLE opened (
    life TEXT PRIMARY KEY               -- the same, on a page of its own that is never in the log: a log of another file shows
);
CREATE TABLE owed (
    path BLOB NOT NULL,                 -- a directory, and a name in it that its owner must look at again
    name BLOB NOT NULL,
    PRIMARY KEY (path, name)
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
    life TEXT NOT NULL DEFAULT ''       -- opening of the databases that wrote last (aggregator/lives.py)
);
INSERT INTO "state" VALUES(1,5,'a5321baba07bab1c',8,8,0,6,2,'1744f7f4ae9603c727fd37691c771da0','fca919e2ce9c4e1f2df57c119643af41','');
CREATE TABLE stream (
    shard TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    committed INTEGER NOT NULL,         -- number of the last frame applied, with its rows, in one transaction
    baseline INTEGER NOT NULL           -- plan generation whose baseline this epoch has finished; 0: none yet
) WITHOUT ROWID;
INSERT INTO "stream" VALUES('s0',14725378178,3,1);
CREATE UNIQUE INDEX entry_by_tick ON entry (lane, tick) WHERE lane IS NOT NULL;
CREATE INDEX entry_gone ON entry (lane, tick) WHERE kind = 0;
COMMIT;
PRAGMA user_version=0;
