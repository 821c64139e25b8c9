"""The whole service under fire: real programs change a tree, processes die and freeze, mirrors must stay equal.

`make chaos [SEED=…] [MINUTES=…]` runs it (`python -m chaos`); `test_chaos_short.py` runs a short form. See docs/testing.md.
"""
