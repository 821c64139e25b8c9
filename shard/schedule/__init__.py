"""Decides what a shard does next.

- `watcher`: gives each kind of work its turn, between the hints that arrive and the stream that is
  sent.
- `arrivals`: directories that appeared or disappeared, until they are entered or found gone.
- `due_looks`: names whose debounce time is over.
- `scans`: the queue of scans, and of what is done after them.
- `baselines`: everything is scanned in a new epoch.
- `handover`: leads from one plan to the next, while the shard runs.
- `sync_answers`: makes the looks that syncs require, and answers them.
- `chores`: begins the work that comes back again and again.
- `rechecks`: looks that no hint asks for: after racy looks, and for the verification.
- `mount_changes`: what was mounted and unmounted inside the anchors, as hints.
- `polling`: looks at the directories that have no watch, again and again, within a share of the
  processor.
- `rota`: gives each anchor its turn to be looked at. Pure.
- `steps`: work that is done in small steps.
- `timetable`: when work that comes back again and again is due. Pure.
- `syncs`: which syncs wait, are under way, and were answered. Pure.
- `busiest`: counts in which directories most changes are noticed. Pure.
- `debounce`: debounces hints: a path waits until it is quiet, but not longer than a maximum. Pure.
- `pace`: decides when the rescan after an overflow may begin. Pure.
- `scan_rate`: holds back scans of whole subtrees to a number of files per second. Pure.
- `tuning`: the parts whose pace the user sets, and how they take over other settings while the
  shard runs.

`main` may import this; it imports every other room of the shard but `version_control`.
"""
