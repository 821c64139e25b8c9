"""Questions that are answered from the index of a running service, without asking the disk or the service.

- `find`: files by name, size and time.

`cli` and `api` may import this; it imports `config` and `service`.
"""
