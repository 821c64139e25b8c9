"""What one shard owns, and how it looks at it.

- `territory`: connects all that looks are made with. The modules of looks are functions of it.
- `place`: the state of one anchor.
- `directories`: the directories that are known, and how each is observed: by a watch, or by
  sweeping.
- `swept`: the directories without a watch, and what their looks have shown. Pure.
- `tiers`: how often those are looked at, by how recently something changed in them. Pure.
- `room`: whether it makes sense to ask for another watch. Pure.
- `recall`: names of theirs that are kept from one look to the next. Pure.
- `opening`: opens a directory to read it; one that cannot be opened or read is in doubt.
- `reports`: turns what was seen into records.
- `doubts`: what could not be read, found or watched: kept for another attempt, and reported in the
  status.
- `scanning`: lists a directory, and everything below it.
- `siblings`: enters directories that lie side by side with one call, where only usual ones are
  expected.
- `descent`: the directories between the beginning of a scan and its present position.
- `looking`: looks at names that had a hint, and at names that are or were directories.
- `together`: looks at names of many directories with one call, where only files are expected.
- `anchors`: decides whether a whole anchor has to be scanned, and scans it.
- `passing_on`: what is let go and taken on with another plan, while the shard runs.
- `heirs`: the places that are watched in advance, of which nothing is told. Pure.
- `ignoring`: looks that follow a change of ignore files.
- `again`: looks that the aggregator asks for.
- `links`: links that are followed, and when one has to be looked at again.
- `link`: one of them, and what decides where it leads.
- `ways`: the watches on what decides where links lead.
- `link_bounds`: how many directories are known by links, and which are not followed. Pure.
- `barred`: directories behind links into which nobody looks. Pure.
- `mounted_files`: files that are mounted over others, for which there are no events.
- `sweep`: looks without a hint, where there is no watch, or where reading failed before.
- `verify`: the verification: looks at every directory once more in the long run.

`schedule` and `main` may import this; it imports `stream`, `backend`, `tree`, `disk` and
`contract`.
"""
