"""watchman with pywatchman: its daemon in the foreground with a state of its own, one subscription to the tree's files.

`use_watchman.py TREE STATE_DIR`. Ready is its first full answer: every file named. Settle is its default, 20 ms.
Who started it ends the daemon.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pywatchman
from consumer import SUFFIX, Consumer

QUERY = {"expression": ["allof", ["type", "f"], ["suffix", "json"]], "fields": ["name"]}


def connect(socket: str, daemon: subprocess.Popen[bytes]) -> pywatchman.client:
    """Tries until the daemon listens."""
    while True:
        try:
            client = pywatchman.client(sockpath=socket, timeout=120.0)
            client.query("version")
            return client
        except pywatchman.WatchmanError:
            if daemon.poll() is not None:
                raise
            time.sleep(0.002)


def main(tree: str, state_dir: str) -> None:
    consumer = Consumer()
    files = {key: os.path.join(state_dir, key) for key in ("sockname", "logfile", "statefile", "pidfile")}
    daemon = subprocess.Popen(
        ["watchman", "--foreground", *(f"--{key}={path}" for key, path in files.items())],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def follow() -> None:
        client = connect(files["sockname"], daemon)
        root = client.query("watch", tree)["watch"]
        answer = client.query("query", root, QUERY)
        client.query("subscribe", root, "perf", {**QUERY, "since": answer["clock"]})
        consumer.ready(files=len(answer["files"]))
        while True:
            try:
                message = client.receive()
            except pywatchman.SocketTimeout:
                continue
            if message.get("is_fresh_instance") or "warning" in message:
                consumer.overflows += 1
            names = message.get("files", ())
            consumer.take([f"{tree}/{name}" for name in names if name.endswith(SUFFIX)])

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
