"""An extract worker with nothing but pyzmq: python3 worker.py STATE_DIR/run/extract.sock GROUP"""

import json
import sys
import time

import zmq

context = zmq.Context()
sock = None


def ask(op, **fields):
    """The reply. What was lost with a service that died is asked again: every request may be repeated."""
    global sock
    while True:
        if sock is None:
            sock = context.socket(zmq.DEALER)
            sock.linger, sock.reconnect_ivl_max = 0, 2000
            sock.connect("ipc://" + sys.argv[1])
        sock.send(json.dumps({"v": 1, "id": 1, "op": op, "group": sys.argv[2], **fields}).encode())
        reply = json.loads(sock.recv()) if sock.poll(10000) else {"ok": False, "error": "busy", "message": "no answer"}
        if reply["ok"] or reply["error"] not in ("busy", "stopping", "storage"):
            return reply
        print("waiting for the service:", reply["message"], file=sys.stderr, flush=True)
        sock = sock.close()
        time.sleep(1)


while True:
    reply = ask("pull", max=100, wait_ms=5000, **{"from": "fresh"})
    if not reply["ok"]:
        sys.exit(f"{reply['message']}: {reply['remedy']}")
    if batch := reply["batch"]:
        for event in batch["events"]:
            print(event.get("event_type", "fresh"), event.get("path", ""), flush=True)
        ask("ack", batch=batch["id"])  # refused where the lease is over: then the batch comes again
