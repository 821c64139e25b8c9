-- Schema 3 finds tombstones that may be forgotten without reading every row.
CREATE INDEX entry_gone ON entry (lane, tick) WHERE kind = 0;
