"""The demonstration of `make run` (`python -m shardwatch.supervisor.demo`).

- `__main__`: the demonstration: watches a real tree, edits it, and shows that the changes arrive.
- `tree`: makes a real tree of AST JSON files.

The wheel does not hold it. Nothing in the product imports this, only tests and benchmarks do; it
imports nothing of the product.
"""
