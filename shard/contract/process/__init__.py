"""How a process of ours is set up, lives and dies.

- `inherited`: what a process inherits from whoever started it, set right before anything else.
- `life`: its lock, the numbers of its streams, its pulse, and the death of the one that started it.
- `log`: its log: plain lines on standard error.
- `slack`: when freed memory goes back to the system.
- `stand_in`: how a shard is told that it is a stand-in, which sweeps and watches nothing.

The rest of the shard and the other houses may import this.
"""
