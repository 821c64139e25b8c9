"""One service from outside: prepared, started, found, judged, compared with the disk, stopped.

- `service`: finds a service and stops it, whoever has started it; why a program does not run.
- `child`: a service as a child of ours: started, waited for until it is ready, ended.
- `state_dir`: prepares the state directory, `supervisord.conf` in it too, and checks what can be
  checked before anything runs.
- `temporary`: temporary state directories.
- `holder`: who holds a lock, proved before anything is done to that process.
- `control`: XML-RPC to supervisord.
- `checkup`: asks supervisord and the aggregator how they are.
- `health`: the one verdict on a service. Pure.
- `asker`: asks a service one thing after another, also one that is about to start.
- `audit`: compares the index with the disk.

`cli`, `api` and the programs may import this; it imports `planning`, `terminal` and `host`.
"""
