-- Schema 11: each commit has a name, which transactions in the redo file bear that follow it (aggregator/index/redo.py).
ALTER TABLE state ADD COLUMN redo INTEGER NOT NULL DEFAULT 0;
