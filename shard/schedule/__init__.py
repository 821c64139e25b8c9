"""Decides what a shard does next.

- `watcher`: the queue of looks, between the hints that arrive and the stream that is sent.
- `timetable`: when work that comes back again and again is due. Pure.
- `syncs`: which syncs wait, are under way, and were answered. Pure.
- `debounce`: debounces hints: a path waits until it is quiet, but not longer than a maximum. Pure.
- `pace`: decides when the rescan after an overflow may begin. Pure.

`main` may import this; it imports every other room of the shard but `version_control`.
"""
