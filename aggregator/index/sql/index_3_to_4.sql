-- Schema 4 knows which running service its streams are of, and which opening of the databases wrote it last.
ALTER TABLE state ADD COLUMN service TEXT NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN life TEXT NOT NULL DEFAULT '';
CREATE TABLE opened (
    life TEXT PRIMARY KEY
);
