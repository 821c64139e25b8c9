"""What the supervisor asks the machine: processes, and filesystems that may never answer.

- `process`: processes of others and of our own, by a descriptor that stays theirs.
- `scouting`: questions to filesystems, asked by children with a deadline.

Every other room of the supervisor may import this; it imports nothing of the supervisor.
"""
