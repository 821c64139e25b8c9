"""What one shard owns, and how it looks at it.

- `territory`: anchors, scans and looks, over the tree of directories.
- `descent`: the directories between where a scan began and where it is.
- `doubts`: what could not be read, found or watched, kept for another try and told to whoever asks.
- `again`: looks that the aggregator asks for.
- `links`: links that are followed: what decides where each of them leads.
- `mounted_files`: files that are mounted over others, which events don't tell of.
- `sweep`: looks without a hint: at what has no watch, and at what could not be read before.
- `verify`: the verification: in the long run every directory is looked at once more.

`schedule` and `main` may import this; it imports `stream`, `backend`, `tree`, `disk` and
`contract`.
"""
