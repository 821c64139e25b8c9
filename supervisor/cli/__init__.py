"""The command line.

- `main`: the program, which starts the process of a service before anything else is known of it.
- `command_line`: reads the arguments, runs one command, turns errors into one line and an exit code.
- `options`: arguments that several commands share.
- `filter_text`: which files a service watches, in words.
- `amounts`: durations and sizes as people write them. Pure.
- `link`: which service a command means, and the connection to it.
- `follow`: pulling, printing and acknowledging until the user has enough.
- `commands`: one module for each command.
- `ctl`: the commands of shardwatch in supervisorctl.

Nothing imports this but the program `shardwatch`, and supervisorctl; it imports every other room but `api` and
`plugin`.
"""
