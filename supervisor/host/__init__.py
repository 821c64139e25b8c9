"""What the supervisor asks the machine: about processes, and about filesystems that may never answer.

- `process`: processes of others and our own, held by a descriptor that keeps referring to the same
  process.
- `readable`: waits until a descriptor can be read, whatever its number is.
- `hang_up_bell`: wakes a process that waits, by a hang-up (SIGHUP).
- `confinement`: what a container or a unit allows a process.
- `git_excludes`: where git's global ignore patterns are.
- `orders`: what a program is told that was started before it was known what for.
- `own_arguments`: what others see of the arguments of this process.
- `log_line`: a line in the log of a program that does without `logging`.
- `scouting`: questions to filesystems, asked by child processes with a deadline.

Every other room of the supervisor may import this; it imports nothing of the supervisor.
"""
