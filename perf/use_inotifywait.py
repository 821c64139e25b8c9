"""inotifywait -m -r, its lines read by a tight loop. `use_inotifywait.py TREE`.

Who started it ends it.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from consumer import Consumer

COMMAND = ["inotifywait", "-m", "-r", "-e", "modify,close_write,create,delete,move", "--format", "%w%f"]


def main(tree: str) -> None:
    consumer = Consumer()
    process = subprocess.Popen([*COMMAND, tree], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    out, errors = process.stdout, process.stderr

    def listen() -> None:
        for line in errors:
            if b"Watches established" in line:
                consumer.ready()

    def follow() -> None:
        threading.Thread(target=listen, daemon=True).start()
        tail = b""
        while chunk := out.read1(1 << 16):  # type: ignore[attr-defined]
            *lines, tail = (tail + chunk).split(b"\n")
            consumer.take([line.decode(errors="replace") for line in lines])

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
