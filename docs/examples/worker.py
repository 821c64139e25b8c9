"""An extract worker with nothing but pyzmq: python3 worker.py STATE_DIR/run/extract.sock GROUP"""

import json
import sys

import zmq

sock = zmq.Context().socket(zmq.DEALER)
sock.connect("ipc://" + sys.argv[1])


def ask(op, **fields):
    sock.send(json.dumps({"v": 1, "id": 1, "op": op, "group": sys.argv[2], **fields}).encode())
    reply = json.loads(sock.recv())
    return reply if reply["ok"] else sys.exit(f"{reply['message']}: {reply['remedy']}")


while True:
    if batch := ask("pull", max=100, wait_ms=30000, **{"from": "start"})["batch"]:
        for event in batch["events"]:
            print(event.get("event_type", "fresh"), event.get("path", ""), flush=True)
        ask("ack", batch=batch["id"])
