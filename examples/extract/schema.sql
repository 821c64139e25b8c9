-- What the tree says. Everything here can be derived from the files, so it may be thrown away at any time.
CREATE TABLE IF NOT EXISTS module (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,      -- below the tree
    name TEXT NOT NULL,             -- json.tool
    problem TEXT NOT NULL           -- why nothing is known of it; empty for most
);
CREATE TABLE IF NOT EXISTS import (
    module INTEGER NOT NULL REFERENCES module ON DELETE CASCADE,
    name TEXT NOT NULL,
    line INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS function (
    module INTEGER NOT NULL REFERENCES module ON DELETE CASCADE,
    name TEXT NOT NULL,
    line INTEGER NOT NULL
);
-- Which index the database follows: its incarnation. No row: none yet.
CREATE TABLE IF NOT EXISTS followed (incarnation TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS import_by_module ON import (module);
CREATE INDEX IF NOT EXISTS import_by_name ON import (name);
CREATE INDEX IF NOT EXISTS function_by_module ON function (module);
CREATE INDEX IF NOT EXISTS function_by_name ON function (name);
