"""Two minutes of `make chaos`: the whole service on a small tree, real programs, kills and stops; mirrors stay equal."""

from __future__ import annotations

import os

import session
from chaos.fleet import servers_max
from chaos.run import Plan, Run


def test_chaos_short(no_leaks: None) -> None:
    """No miss, no sync that lies or never comes, nothing handed out again after its ack, nothing left at the end.

    SW_CHAOS_SEED chooses another run. What the run said is shown where it fails; the work directory is kept then.
    """
    plan = Plan(
        seed=int(os.environ.get("SW_CHAOS_SEED", "1")), minutes=2.0, files=3000, shards=3, rage_s=13.0, kill_s=1.5,
        servers=min(1, servers_max()),
        where=session.memory().parent,
    )  # fmt: skip
    said: list[str] = []
    failures = Run(plan, said.append).go()
    assert not failures, "\n".join(said)
