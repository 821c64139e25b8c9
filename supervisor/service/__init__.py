"""One service from outside: preparing, starting, finding and stopping it, and its health.

- `service`: finds a service and stops it, whoever has started it; finds out why a program does not
  run.
- `child`: a service as a child process: starts it, waits until it is ready, ends it.
- `early`: supervisord's process, started before it is known which service it is for.
- `state_dir`: prepares the state directory, including `supervisord.conf`, and checks what can be
  checked before anything runs.
- `changed_patterns`: says in words how a list of patterns has changed. Pure.
- `served`: what a service runs with, as commands read it.
- `temporary`: temporary state directories.
- `holder`: finds the process that holds a lock, and proves its identity before anything is done to
  it.
- `control`: XML-RPC to supervisord.
- `checkup`: asks supervisord and the aggregator about their state.
- `shares`: how heavy the shards are at present.
- `shipping`: what a service ships, and how far that is.
- `web_page`: where a service has its page served.
- `degradations`: the list of all states that an operator should know of, each with its remedy.
  Pure.
- `finding`: one of them, as it was found. Pure.
- `program_findings`: finds them in what supervisord says of the programs. Pure.
- `engine_findings`: finds them in what the aggregator says. Pure.
- `health`: decides from what was found whether a service is healthy. Pure.
- `status_object`: the status of a service as an object of JSON. Pure.
- `status_now`: the same at this moment, also while there is no service.
- `logs`: the logs of its programs.
- `asker`: asks a service one question after another, also one that is about to start.

`cli`, `api` and the programs may import this; it imports `planning`, `terminal` and `host`.
"""
