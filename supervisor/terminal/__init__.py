"""What a command prints, and what may end it from outside.

- `streams`: the standard streams, even if the parent has closed them.
- `ends`: signals, and an output that nobody reads any more.
- `render`: event lines, tables and sizes as text for people. Pure.
- `lines`: the lines that `watch` and `pull` print, one per object.
- `own_output`: changes of the files to which a command itself writes, which are left out.
- `log_lines`: lines of several logs in the order of their times. Pure.
- `tables`: the tables of `status` and `groups list`. Pure.

`service`, `cli` and the programs may import this; it imports nothing of the supervisor.
"""
