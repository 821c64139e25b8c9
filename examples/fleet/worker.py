"""Keeps the size of every file of every source in a database: python3 worker.py DATABASE GROUP

Any number of these may run, and share the work. NATS_URL names the server.
"""

import os
import sqlite3
import sys

from shardwatch.fleet import FleetClient, SqliteFleetStore


def main(database, group):
    connection = sqlite3.connect(database, timeout=60)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS file (source, path, size, PRIMARY KEY (source, path))")
    with FleetClient(SqliteFleetStore(connection), away_s=5.0) as client:
        for batch in client.batches(group):
            for event in batch.events:
                key = event.source, os.fsencode(event.path)
                if event.event_type == "deleted":
                    connection.execute("DELETE FROM file WHERE source = ? AND path = ?", key)
                else:
                    connection.execute("REPLACE INTO file VALUES (?, ?, ?)", (*key, event.size))
            batch.ack()  # commits the rows, and how far the group is, together


if __name__ == "__main__":
    main(*sys.argv[1:])
