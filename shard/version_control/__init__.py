"""Whether version control is at work in a root, so that batches can be held back meanwhile.

- `repository`: where a repository has its lock file, and whether it is believed to be one.
- `locks`: which lock files are there now.

`main` may import this; it imports `backend` (the bell) and `contract`.
"""
