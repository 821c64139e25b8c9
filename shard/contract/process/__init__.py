"""How a process starts, stays alive and ends.

- `inherited`: corrects what a process has inherited from its parent, before anything else.
- `launch`: what every program of a service is started by; it loads the program and runs it.
- `loading`: makes the imports of a program cheaper.
- `life`: its lock, its epoch numbers, its pulse, and its end when its parent dies.
- `log`: its log: lines on standard error.
- `log_choice`: how it logs: as the settings say, and as was asked for since.
- `log_entry`: what a line of a log looks like, as text and as JSON. Pure.
- `memory_cap`: when a process ends because it has more memory than it may have.
- `priority`: its niceness, and the class and level of its input and output.
- `renewal`: how a process that ends in order tells that it is to be started again, and why.
- `slack`: decides when freed memory goes back to the system.
- `stand_in`: how a shard is told that it is a stand-in, which sweeps and uses no watch.

The rest of the shard and the other houses may import this.
"""
