"""The code that runs inside supervisord.

- `rpc`: adds and removes shards by id over XML-RPC, and starts everything else here.
- `titles`: what supervisord calls a shard, which tells what it watches. Pure.
- `triggers`: adds the programs of the configuration: the group `exec`, `ship` and `web`.
- `breaker`: decides what is started after the death of a program, and when. Pure.
- `rearm`: decides when programs are restarted, so that no state is final.
- `renewals`: counts how often a program was started again because it had too much memory. Pure.
- `pulse`: kills programs that hang.
- `silence`: judges which programs hang. Pure.
- `leaving`: takes programs out of their groups, also where the kernel keeps them or nobody waits for their end.
- `map_entry`: what supervisord's loop asks of an entry in its socket map.
- `wake`: wakes supervisord's loop when something is due.
- `upkeep`: keeps the state directory complete, and ends the service when the directory is gone.
- `bounds`: limits what a client may send to supervisord's socket.
- `spawn`: starts programs with fewer system calls.
- `no_page`: leaves out supervisord's own web page.
- `terms`: runs supervisord on the terms of whoever asked for it.
- `names`: names that the plugin shares with the coordinator.
- `first_plan`: waits for the plan of a first start, while other programs start.
- `hang_up`: decides how supervisord reacts to SIGHUP.
- `notify`: tells the service manager, such as systemd, when the service is ready and that it lives.
- `full_disk`: lets supervisord survive a full disk under its logs.
- `words`: how supervisord's log is written; misleading lines are removed from it.

`run` and `coordinator` may import this, and supervisord loads it by name; it imports nothing of the supervisor.
"""
