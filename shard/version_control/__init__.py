"""Finds out whether version control is working in a root, so that batches can be held back meanwhile.

- `repository`: where a repository has its lock file, and whether it is trusted.
- `locks`: which lock files exist now.

`main` may import this; it imports `backend` (the bell) and `contract`.
"""
