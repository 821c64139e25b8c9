"""The configuration of a service. The options themselves are defined in
`shard.contract.state.options`.

- `resolve`: combines defaults, file, environment and command line, with the origin of each value.
- `again`: the same while the service runs, from what it was started with.
- `layers`: what the file, the environment and the command line set.
- `exec_sections`: commands that run with the service, from the file.
- `ship_section`: what the service ships, from the file.
- `web_section`: where the service has its page served, from the file.
- `sections`: what sections of the file have in common.
- `file`: which configuration file is used, and its contents.
- `names`: the name of an option in the environment and on the command line.
- `paths`: the options that are paths.
- `pattern_options`: the options that contain patterns.
- `scalars`: the options that are a single value, checked with pydantic.
- `patterns`: patterns as a user writes them, expanded and checked.
- `profile`: the default patterns.
- `starter`: the file that `shardwatch init` writes.
- `default_place`: the default state directory.

`cli` and `api` may import this; it imports `host`.
"""
