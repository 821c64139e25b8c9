// An extract worker with nothing but npm's zeromq: node worker.mjs STATE_DIR/run/extract.sock GROUP
import { Dealer } from "zeromq";

const [path, group] = process.argv.slice(2);
let sock;

// The reply. What was lost with a service that died is asked again: every request may be repeated.
async function ask(op, fields) {
  while (true) {
    if (!sock) {
      sock = new Dealer({ linger: 0, receiveTimeout: 10000, reconnectMaxInterval: 2000 });
      sock.connect("ipc://" + path);
    }
    await sock.send(JSON.stringify({ v: 1, id: 1, op, group, ...fields }));
    const [body] = await sock.receive().catch(() => ['{"error": "busy", "message": "no answer"}']);
    const reply = JSON.parse(body.toString());
    if (reply.ok || !["busy", "stopping", "storage"].includes(reply.error)) return reply;
    console.error("waiting for the service:", reply.message);
    sock.close();
    sock = undefined;
    await new Promise((done) => setTimeout(done, 1000));
  }
}

while (true) {
  const reply = await ask("pull", { max: 100, wait_ms: 5000, from: "fresh" });
  if (!reply.ok) throw new Error(`${reply.message}: ${reply.remedy}`);
  const batch = reply.batch;
  for (const event of batch?.events ?? []) console.log(event.event_type ?? "fresh", event.path ?? "");
  if (batch) await ask("ack", { batch: batch.id }); // refused where the lease is over: then the batch comes again
}
