"""What a command prints, and what may end it from outside.

- `streams`: the standard streams, whatever the parent closed.
- `ends`: signals, and an output that nobody reads any more.
- `render`: event lines, tables and sizes as text for people. Pure.
- `lines`: what `watch` and `pull` print, one line for each object.
- `tables`: the tables of `status` and `groups list`. Pure.

`service`, `cli` and the programs may import this; it imports nothing of the supervisor.
"""
