"""The configuration: what a service runs with, and where. The options themselves are defined in
`shard.contract.state.options`.

- `resolve`: defaults, file, environment and command line joined, with the origin of each value.
- `layers`: what the file, the environment and the command line set.
- `file`: which configuration file counts, and what it holds.
- `names`: what an option is called in the environment and on the command line.
- `paths`: the options that are paths.
- `pattern_options`: the options that hold patterns.
- `scalars`: the options that are one value, checked with pydantic.
- `patterns`: patterns as a user gives them, expanded and checked.
- `profile`: the default patterns.
- `default_place`: the state directory when nobody names one.

`cli` and `api` may import this; it imports `host`.
"""
