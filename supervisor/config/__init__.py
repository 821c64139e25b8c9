"""The configuration: what a service runs with, and where.

- `config`: defaults, file, environment and command line, checked with pydantic, with the origin of
  each value.
- `effective`: the short way to the same result, without pydantic, where nothing but roots and state
  directory is configured.
- `patterns`: patterns as a user gives them, expanded and checked.
- `profile`: the default patterns.
- `default_place`: the state directory when nobody names one.

`cli` and `api` may import this; it imports `host`.
"""
