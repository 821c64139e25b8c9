"""Why an event of a path came, or did not come.

- `explain`: asks everybody who knows something about the path; the public function `explain`.
- `reach`: whether the path is to be watched at all, and by which rule. Pure.
- `ignored`: which line of which ignore file leaves the path out.
- `rule_origin`: where a pattern was written, down to the line.
- `on_disk`: what is at the path, and on the way to it.
- `sentences`: all of that in words. Pure.

`cli` may import this; it imports `config`, `service`, `audit` and `host`.
"""
