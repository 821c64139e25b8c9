"""What `make run` shows (`python -m shardwatch.supervisor.demo`).

- `__main__`: the demonstration: a real tree is watched, edited, and the changes are seen to arrive.
- `tree`: makes a real tree of AST JSON files.

Nothing of ours imports this but tests and benchmarks; it imports nothing of ours.
"""
