-- Schema 7: which tick was the last one at which time, noted at most once a minute (aggregator/index/moments.py).
CREATE TABLE moment (
    tick INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL
);
