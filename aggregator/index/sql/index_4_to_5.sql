-- Schema 5 knows of a file that came by a rename when it was made: its inode number alone may be another file's, used again.
ALTER TABLE entry ADD COLUMN birth_ns INTEGER NOT NULL DEFAULT 0;
