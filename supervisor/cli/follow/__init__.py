"""Following a service: pulling, printing and acknowledging.

- `puller`: the loop that `pull` and `watch` share.
- `private`: a service that a command starts for itself (`watch`, and `exec` with PATHs).
- `attendant`: the connection to such a service, which says what is wrong with it.
- `session`: one `watch`, from the start of its service to its end.
- `worker`: runs a command for the changes of a group (`exec`): what is pulled, leased and
  acknowledged.
- `runner`: the runs of one command that go on.
- `put_off`: runs that wait, because their command seems to make the changes itself.
- `rounds`: when such a service is asked how it is. Pure.
- `trouble`: what is wrong with a running service, each problem reported once.

`commands` may import this; it imports `link`.
"""
