"""Running a command for what changed: `shardwatch exec`, save for its service and its terminal.

Pure, with no processes and no clock:

- `change`: one change, as a command is told of it.
- `command`: which changes go to one run, and its arguments, input and environment.
- `schedule`: which run begins, and what becomes of batches.
- `latest`: the same for one command that is restarted, signalled or left alone when something changes while it runs.
- `instructions`: what both of them ask for.
- `echoes`: notices a command that changes what it watches, and how long its next run waits.
- `pace`: how much is pulled at once.

With processes:

- `program_place`: whether the program of a command is there, and its filesystem answers.
- `process`: one run: its process group, its output, its end.
- `output`: the output of runs side by side, passed on unmixed.
- `guard`: ends the runs of an `exec` that was killed.

`cli` may import this; it imports `config` (names), `host` and `terminal`.
"""
