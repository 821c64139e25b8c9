"""Records tests/corpus/state_COMMIT: what a service of that commit leaves in its state directory.

Run by hand, not by tests, with the code of that commit: `PYTHONPATH=CLONE/src .venv/bin/python -P record_state.py OUT`. It starts
the service on a small tree in /tmp/shardwatch-recorded, which must not exist, has groups pull, fail and hold a lease, and stops
it. The databases are written down as SQL, which can be read and compared. The id of the machine's boot is replaced by `BOOT`.
`recorded.json` holds what the service itself said of its groups.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import zmq

BASE = Path("/tmp/shardwatch-recorded")
BOOT = "the boot in which it was recorded"
#: Seconds after which no look at a file is racy any more.
QUIET_S = 3.0
#: The command line, in this place or in that of the first days.
CLI = """
import sys
try:
    from shardwatch.supervisor.cli.main import main
except ImportError:
    from shardwatch.supervisor.cli import main
sys.exit(main())
"""


def main(out: Path) -> None:
    tree, state = BASE / "tree", BASE / "state"
    for number in range(6):
        path = tree / f"d{number % 2}" / f"f{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * number)
    time.sleep(QUIET_S)
    command(state, "up", "--detach", "--shards", "1", str(tree))
    try:
        recorded = live(tree, state)
    finally:
        command(state, "down")
    out.mkdir()
    (out / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")
    for name in ("index", "groups"):
        (out / f"{name}.sql").write_text(dump(state / f"{name}.db"))
    for name in ("settings.json", "life.json"):
        if (state / name).exists():
            shutil.copy(state / name, out / name)
    shutil.rmtree(BASE)


def live(tree: Path, state: Path) -> dict[str, Any]:
    """One group has everything, one a part, one a lease; one has set a path aside. Then a file is deleted."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{state}/run/extract.sock")

        def ask(op: str, **fields: Any) -> dict[str, Any]:
            socket.send(json.dumps({"op": op, **fields}).encode())
            reply: dict[str, Any] = json.loads(socket.recv())
            assert reply["ok"], reply
            return reply

        for group, most in (("done", 100), ("half", 4)):
            batch = ask("pull", group=group, max=most, **{"from": "start"})["batch"]
            ask("ack", group=group, batch=batch["id"])
        lease = ask("pull", group="leased", max=3, lease_ms=86_400_000, **{"from": "start"})["batch"]["id"]
        ask("pull", group="failing", wait_ms=0)
        (tree / "d0" / "bad.json").write_text("bad")
        ask("sync")
        while (batch := ask("pull", group="failing", wait_ms=1000)["batch"]) is not None:
            ask("nack", group="failing", batch=batch["id"], retry_ms=0, reason="it is bad")
        (tree / "d1" / "f1.json").unlink()
        ask("sync")
        time.sleep(QUIET_S)
        hello = ask("hello")
        return {"lease": lease, "incarnation": hello["incarnation"], "tick": hello["tick"], "groups": ask("groups")["groups"]}


def command(state: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-P", "-c", CLI, arguments[0], "--state-dir", str(state), *arguments[1:]], check=True)


def dump(path: Path) -> str:
    db = sqlite3.connect(path)
    lines = [re.sub(r"VALUES\('boot','[^']*'\)", f"VALUES('boot','{BOOT}')", line) for line in db.iterdump()]
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return "\n".join([*lines, f"PRAGMA user_version={version};"]) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
