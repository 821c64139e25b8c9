// An extract worker with nothing but npm's zeromq: node worker.mjs STATE_DIR/run/extract.sock GROUP
import { Dealer } from "zeromq";

const [socket, group] = process.argv.slice(2);
const sock = new Dealer();
sock.connect("ipc://" + socket);

async function ask(op, fields) {
  await sock.send(JSON.stringify({ v: 1, id: 1, op, group, ...fields }));
  const [body] = await sock.receive();
  const reply = JSON.parse(body.toString());
  if (!reply.ok) throw new Error(`${reply.message}: ${reply.remedy}`);
  return reply;
}

while (true) {
  const { batch } = await ask("pull", { max: 100, wait_ms: 30000, from: "start" });
  for (const event of batch?.events ?? []) console.log(event.event_type ?? "fresh", event.path ?? "");
  if (batch) await ask("ack", { batch: batch.id });
}
