"""What runs inside supervisord; `ctl` runs inside supervisorctl.

- `rpc`: adds and removes shards by id over XML-RPC, and starts all the rest here.
- `breaker`: what is started after a death, and when. Pure.
- `rearm`: paces restarts: no state of a program is final.
- `pulse`: kills programs that live and do nothing.
- `wake`: wakes supervisord's loop when something is due.
- `place`: keeps the state directory whole, and ends the service when it is gone.
- `bounds`: bounds what a client may send to supervisord's socket.
- `hang_up`: what SIGHUP means to supervisord.
- `ctl`: `supervisorctl shards`.
- `full_disk`: lets supervisord outlive a full disk under its logs.
- `words`: what supervisord's log need not say.

`run` may import this, and supervisord loads it by name; it imports nothing of the supervisor.
"""
