"""Following a service: pulling, printing and acknowledging.

- `puller`: the loop that `pull` and `watch` share.
- `session`: one `watch`, from the start of its service to its end.
- `worker`: runs a command for the changes of a group (`exec`).
- `trouble`: what is wrong with a running service, each problem reported once.

`commands` may import this; it imports `link`.
"""
