"""What one shard owns, and how it looks at it.

- `territory`: all of it together: what looks are made with. The modules of looks are functions of it.
- `place`: one anchor, as it stands.
- `directories`: the directories that are known, and how each is observed: by a watch, or by sweeping.
- `opening`: a directory that is opened to be read; what can't be is in doubt.
- `reports`: what was seen, as records.
- `doubts`: what could not be read, found or watched, kept for another try and told to whoever asks.
- `scanning`: a directory is listed, and everything below it.
- `descent`: the directories between where a scan began and where it is.
- `looking`: names that had a hint, and names that are or were directories.
- `anchors`: whether a whole anchor has to be scanned, and that scan.
- `again`: looks that the aggregator asks for.
- `links`: links that are followed: what decides where each of them leads.
- `mounted_files`: files that are mounted over others, which events don't tell of.
- `sweep`: looks without a hint: at what has no watch, and at what could not be read before.
- `verify`: the verification: in the long run every directory is looked at once more.

`schedule` and `main` may import this; it imports `stream`, `backend`, `tree`, `disk` and
`contract`.
"""
