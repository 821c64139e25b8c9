"""The parts of a shard's process that are no looking: what it is connected to, and when it does what by the clock.

- `first_plan`: waits for the plan of a first start.
- `line`: the two connections to the aggregator.
- `connection`: one of them.
- `heartbeat`: when a beat is due, and what must not be overtaken by frames. Pure.
- `departure`: the end of a shard that is to be started again. Pure.
- `restraint`: what the process may take of the machine, and its end for the sake of that.
- `shift`: how long a stand-in stays. Pure.
- `lock_roots`: in which roots it looks for the lock files of version control. Pure.
- `succession`: how a shard that runs gets from one plan to another.
- `wakeups`: the descriptors that it waits for.

`main` may import this; it imports `contract` only.
"""
